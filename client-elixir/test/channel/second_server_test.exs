defmodule Sidewinder.SecondServerTest do
  @moduledoc "The same client against a server that others wrote: grpcio, on the C core."
  use ExUnit.Case, async: true

  @python Enum.find([Path.expand("../../../.venv/bin/python", __DIR__), System.find_executable("python3")], fn python ->
            python && File.exists?(python) &&
              match?({_, 0}, System.cmd(python, ["-c", "import grpc"], stderr_to_stdout: true))
          end)

  if @python do
    import Sidewinder.Asking
    alias Sidewinder.Channel
    alias Sidewinder.Wire.Status

    @script Path.expand("../support/fakes/second_server.py", __DIR__)

    setup do
      socket = Path.join(System.tmp_dir!(), "second-#{System.pid()}-#{System.unique_integer([:positive])}.sock")
      port = Port.open({:spawn_executable, @python}, [:binary, :exit_status, line: 100, args: [@script, socket]])
      {:os_pid, pid} = Port.info(port, :os_pid)

      on_exit(fn ->
        System.cmd("kill", ["-9", "#{pid}"], stderr_to_stdout: true)
        File.rm(socket)
      end)

      assert_receive {^port, {:data, {:eol, "listens"}}}, 20_000
      %{channel: channel({:unix, socket}), port: port}
    end

    defp path(method), do: "/second.Server/#{method}"

    test "one message there and back, small and large", %{channel: channel} do
      assert {:ok, "hello", metadata} = Channel.unary(channel, path("Echo"), "hello", wait: true)
      assert {"x-late", "1"} in metadata and {"x-bytes-bin", <<0, 255>>} in metadata
      large = :rand.bytes(5_000_000)
      assert {:ok, ^large, _} = Channel.unary(channel, path("Echo"), large, deadline: soon(30_000))

      assert {:error, %Status{code: 9, message: "not now: ä 100%"}} =
               Channel.unary(channel, path("Fail"), "not now: ä 100%")

      assert {:error, %Status{code: 12, origin: :peer}} = Channel.unary(channel, path("Nothing"), "")
      assert {:error, %Status{code: 4}} = Channel.unary(channel, path("Wait"), "0.3", deadline: soon(100))
      assert {:ok, "0.01", _} = Channel.unary(channel, path("Wait"), "0.01", deadline: soon(30_000))
    end

    test "streams", %{channel: channel} do
      {:ok, stream} = Channel.open(channel, path("Count"), request: "5000", wait: true)
      for number <- 0..4_999, do: assert({:ok, "#{number}"} == Channel.recv(stream))
      assert {:end, []} = Channel.recv(stream)
      {:ok, stream} = Channel.open(channel, path("Converse"))

      for size <- [0, 1, 70_000, 3] do
        message = :rand.bytes(size)
        :ok = Channel.send(stream, message)
        assert {:ok, message} == Channel.recv(stream)
      end

      :ok = Channel.finish(stream)
      assert {:end, []} = Channel.recv(stream)
    end

    test "three hundred callers, many cancels, and an end in between", %{channel: channel, port: port} do
      assert {:ok, _, _} = Channel.unary(channel, path("Echo"), "", wait: true)

      cancelled =
        for _ <- 1..150, do: Task.async(fn -> Channel.unary(channel, path("Wait"), "0.05", deadline: soon(20)) end)

      for call <- cancelled, do: assert({:error, %Status{code: 4}} = Task.await(call))
      calls = for number <- 1..300, do: {"#{number}", ask_echo(channel, "#{number}")}
      for {content, call} <- calls, do: assert({:ok, ^content, _} = Task.await(call, 30_000))

      # It goes away politely: what runs is answered.
      last = Task.async(fn -> Channel.unary(channel, path("Wait"), "0.3", deadline: soon(30_000)) end)
      assert_receive {^port, {:data, {:eol, "waits 0.3"}}}, 20_000
      Port.command(port, "\n")
      assert {:ok, "0.3", _} = Task.await(last, 30_000)
      assert_receive {^port, {:exit_status, 0}}, 20_000
    end

    defp ask_echo(channel, content),
      do: Task.async(fn -> Channel.unary(channel, path("Echo"), content, deadline: soon(30_000)) end)
  else
    IO.puts(
      "second server: no grpcio in .venv or beside python3, so nothing was tried with it (tests/setup.sh gets it)"
    )
  end
end
