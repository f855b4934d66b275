defmodule Sidewinder.ModesTest do
  @moduledoc "`kill -9` of a BEAM, seen by another one: what becomes of its calls in the modes in which nothing of it is ours."
  use ExUnit.Case, async: false

  import Sidewinder.Test.RealDaemon, only: [eventually: 1]

  alias Sidewinder.Test.{Beam, RealDaemon, Tree}

  @moduletag timeout: 60_000

  for {mode, goes_on} <- [supervised: false, independent: true, distributed: true] do
    test "#{mode}" do
      mode = unquote(mode)
      daemon = RealDaemon.start(["--mode", Atom.to_string(mode)])
      watcher = RealDaemon.client(daemon, mode: mode)
      :ok = Sidewinder.subscribe(watcher)
      file = Path.join(daemon.folder, "note")
      {beam, _tree} = beam(daemon, mode, file)
      eventually(fn -> File.read(file) == {:ok, "x"} end)
      {_, 0} = System.cmd("kill", ["-9", Integer.to_string(beam)])
      begun = System.monotonic_time(:millisecond)
      assert_receive {:sidewinder, ^watcher, %{what: :client_died, facts: %{"client" => "victim"}}}, 10_000
      noticed = System.monotonic_time(:millisecond) - begun
      assert noticed < 2_000, "noticed after #{noticed} ms"

      if unquote(goes_on) do
        assert {:ok, "rested"} = Sidewinder.result(watcher, "k-1", name: "victim")
      else
        eventually(fn -> match?({:ok, %{pools: [%{running: 0}]}}, Sidewinder.status(watcher)) end)
        assert {:error, %Sidewinder.Error{}} = Sidewinder.result(watcher, "k-1", name: "victim")
      end

      # The daemon and its workers are nobody's but its own.
      assert {:ok, 3} = Sidewinder.call(watcher, "add", %{a: 1, b: 2})
      assert File.read(file) == {:ok, "x"}
      assert Tree.left(Tree.below(daemon.pid)) != []
    end
  end

  test "a BEAM that is stopped for longer than its lease finds another one when it goes on" do
    daemon = RealDaemon.start(["--mode", "independent"])
    watcher = RealDaemon.client(daemon)
    :ok = Sidewinder.subscribe(watcher)

    {beam, _} =
      Beam.start("""
      #{start(daemon, :independent, "interval: 100, ttl: 1_000")}
      :ok = Sidewinder.subscribe()
      numbers.(0)
      receive do
        {:sidewinder, _, %{what: :attached, epoch: epoch}} -> IO.puts("numbers \#{System.pid()} \#{epoch}")
      end
      {:ok, 3} = Sidewinder.call("add", %{a: 1, b: 2})
      """)

    {_, 0} = System.cmd("kill", ["-STOP", Integer.to_string(beam)])
    assert_receive {:sidewinder, ^watcher, %{what: :client_expired, facts: %{"client" => "victim"}}}, 30_000
    {_, 0} = System.cmd("kill", ["-CONT", Integer.to_string(beam)])
    assert_receive {:sidewinder, ^watcher, %{what: :client_attached, facts: %{"client" => "victim"}}}, 10_000
    {_, epoch} = Beam.numbers()
    assert epoch > 0
  end

  defp beam(daemon, mode, file) do
    Beam.start("""
    #{start(daemon, mode, "")}
    spawn(fn -> Sidewinder.call("mark", %{file: #{inspect(file)}, seconds: 2.0}, idempotency_key: "k-1") end)
    numbers.(0)
    Process.sleep(:infinity)
    """)
  end

  defp start(daemon, mode, further) do
    """
    {:ok, _} = Application.ensure_all_started(:sidewinder)
    {:ok, _} = Sidewinder.start_link([address: #{inspect(daemon.socket)}, mode: #{inspect(mode)}, client_name: "victim"] ++ [#{further}])
    :ok = Sidewinder.wait_ready()
    {:ok, 3} = Sidewinder.call("add", %{a: 1, b: 2})
    numbers = fn number -> IO.puts("numbers \#{System.pid()} \#{number}") end
    """
  end
end
