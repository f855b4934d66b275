defmodule Sidewinder.Served do
  @moduledoc """
  A real daemon with the tools that the Python client is tested with, in a folder of its own. `SIDEWINDER_BIN` names the
  binary; without it that of this checkout is taken. It is killed when its test ends, by its process id.

  Requests and answers are made by hand here: what is tested is how they travel.
  """

  @tools Path.expand("../../../client-python/tests_client/tools", __DIR__)
  @checkout Path.expand("../../..", __DIR__)
  @patience 20_000

  defstruct [:port, :pid, :folder, :socket, :options]

  @doc "Starts one, and waits until it listens."
  def start(options \\ []) do
    folder = Path.join(System.tmp_dir!(), "sidewinder-elixir-#{System.pid()}-#{System.unique_integer([:positive])}")
    File.mkdir_p!(folder)
    ExUnit.Callbacks.on_exit(fn -> File.rm_rf!(folder) end)
    run(%__MODULE__{folder: folder, socket: Path.join(folder, "s.sock"), options: options})
  end

  @doc "Starts it again in its place."
  def run(served) do
    workers = Integer.to_string(Keyword.get(served.options, :workers, 1))
    more = Keyword.get(served.options, :more, [])

    port =
      Port.open({:spawn_executable, binary()}, [
        :binary,
        :stderr_to_stdout,
        :exit_status,
        line: 10_000,
        cd: @tools,
        env: [
          {~c"SIDEWINDER_RUNTIME_DIR", to_charlist(Path.join(served.folder, "run"))},
          {~c"PYTHONDONTWRITEBYTECODE", ~c"1"}
        ],
        args: ["run", "--tools", "served", "--workers", workers, "--socket", served.socket | more]
      ])

    {:os_pid, pid} = Port.info(port, :os_pid)
    ExUnit.Callbacks.on_exit(fn -> signal(pid, "KILL") end)
    listening(port, [])
    %{served | port: port, pid: pid}
  end

  defp listening(port, said) do
    receive do
      {^port, {:data, {_, line}}} -> if line =~ "listens on", do: :ok, else: listening(port, [line | said])
      {^port, {:exit_status, status}} -> raise "the daemon ended with #{status}: #{Enum.join(Enum.reverse(said), "\n")}"
    after
      @patience -> raise "the daemon did not listen: #{Enum.join(Enum.reverse(said), "\n")}"
    end
  end

  @doc "Kills it, and waits until it is gone."
  def kill(%{port: port, pid: pid}) do
    signal(pid, "KILL")
    gone(port)
  end

  @doc "Kills it, and starts another one in its place."
  def again(served) do
    kill(served)
    File.rm(served.socket)
    run(served)
  end

  defp gone(port) do
    receive do
      {^port, {:exit_status, _}} -> :ok
      {^port, _} -> gone(port)
    after
      @patience -> raise "the daemon did not end"
    end
  end

  def signal(%{pid: pid}, name), do: signal(pid, name)
  def signal(pid, name), do: System.cmd("kill", ["-#{name}", "#{pid}"], stderr_to_stdout: true)

  defp binary do
    found =
      Enum.find(
        [System.get_env("SIDEWINDER_BIN"), Path.join(@checkout, "target/release/sidewinder")],
        &(&1 && File.exists?(&1))
      )

    found || raise "no binary to test: run `make build`, or name one with SIDEWINDER_BIN"
  end

  @doc "A sidewinder.v1.CallRequest."
  def request(tool, arguments, type \\ "application/json") do
    IO.iodata_to_binary([field(1, field(2, tool)), field(2, [field(1, arguments), field(2, type)])])
  end

  @doc "A sidewinder.v1.Input that opens a call, and one that goes on."
  def opening(tool, type \\ "application/json"),
    do: field(1, request(tool, if(type =~ "json", do: "{}", else: ""), type))

  def input(bytes), do: field(2, field(1, bytes))

  @doc "The bytes of the payload that a CallResponse or an Item begins with."
  def value(<<0x0A, rest::binary>>) do
    {size, rest} = varint(rest)
    <<payload::binary-size(size), _::binary>> = rest

    case payload do
      <<0x0A, data::binary>> ->
        {size, data} = varint(data)
        binary_part(data, 0, size)

      _ ->
        ""
    end
  end

  defp field(number, bytes) do
    bytes = IO.iodata_to_binary(bytes)
    [<<number * 8 + 2>>, length_of(byte_size(bytes)), bytes]
  end

  defp length_of(size) when size < 128, do: <<size>>
  defp length_of(size), do: [<<1::1, size::7>>, length_of(div(size, 128))]

  defp varint(<<1::1, low::7, rest::binary>>) do
    {high, rest} = varint(rest)
    {high * 128 + low, rest}
  end

  defp varint(<<0::1, value::7, rest::binary>>), do: {value, rest}
end
