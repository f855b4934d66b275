defmodule Sidewinder.CoupledTest do
  @moduledoc "Mode coupled with the real daemon: it is ours, and ends with us, however we end."
  use ExUnit.Case, async: false

  import Sidewinder.Test.RealDaemon, only: [binary: 0, eventually: 1, folder: 0, tools: 0]

  alias Sidewinder.Daemon
  alias Sidewinder.Test.{Beam, Tree}

  @moduletag timeout: 60_000

  setup do
    folder = folder()
    args = ["--directory", tools(), "--workers", "2"]
    env = %{"SIDEWINDER_RUNTIME_DIR" => Path.join(folder, "run")}
    %{folder: folder, options: [tools: ["served"], binary: binary(), args: args, env: env]}
  end

  test "it is started, serves, is started again when it is killed, and ends with its client", context do
    name = :coupled_here
    socket = Path.join(context.folder, "s.sock")
    {:ok, _} = Sidewinder.start_link(name: name, mode: :coupled, daemon: context.options, address: socket)
    assert :ok = Sidewinder.wait_ready(name)
    assert {:ok, 3} = Sidewinder.call(name, "add", %{a: 1, b: 2})
    assert {:ok, %{mode: "coupled"}} = Sidewinder.status(name)
    first = tree(name, context)
    # The daemon, a keeper, and a warden and a worker for each of two.
    assert map_size(first) >= 6
    :ok = Sidewinder.subscribe(name)
    {_, 0} = System.cmd("kill", ["-9", Integer.to_string(Daemon.os_pid(name))])
    assert_receive {:sidewinder, ^name, %{what: :attached, daemon_changed: true, resumed: false}}, 20_000
    eventually(fn -> Tree.left(first) == [] end)
    assert :ok = Sidewinder.wait_ready(name)
    assert {:ok, 3} = Sidewinder.call(name, "add", %{a: 1, b: 2})
    second = tree(name, context)
    :ok = Sidewinder.stop(name)
    assert eventually(fn -> Tree.left(second) == [] end)
  end

  test "kill -9 of a BEAM leaves nothing behind", context do
    {beam, tree} = beam(context)
    assert map_size(tree) >= 7
    {_, 0} = System.cmd("kill", ["-9", Integer.to_string(beam)])
    begun = System.monotonic_time(:millisecond)
    eventually(fn -> Tree.left(tree) == [] end)
    took = System.monotonic_time(:millisecond) - begun
    assert took < 2_000, "it took #{took} ms"
  end

  test "a BEAM that is stopped and goes on has kept everything", context do
    {beam, tree} = beam(context)
    {_, 0} = System.cmd("kill", ["-STOP", Integer.to_string(beam)])
    assert Enum.sort(Tree.left(tree)) == Enum.sort(Map.keys(tree))
    {_, 0} = System.cmd("kill", ["-CONT", Integer.to_string(beam)])
    {_, 0} = System.cmd("kill", ["-9", Integer.to_string(beam)])
    eventually(fn -> Tree.left(tree) == [] end)
  end

  defp tree(name, context), do: Map.merge(Tree.below(Daemon.os_pid(name)), Tree.kept_in(context.folder))

  # A second BEAM with a client of its own; it says its number and that of its daemon once a call of it went through.
  defp beam(context) do
    socket = Path.join(context.folder, "s.sock")
    options = [name: Sidewinder, mode: :coupled, daemon: context.options, address: socket]

    program = """
    {:ok, _} = Application.ensure_all_started(:sidewinder)
    {:ok, _} = Sidewinder.start_link(#{inspect(options, limit: :infinity)})
    :ok = Sidewinder.wait_ready()
    {:ok, 3} = Sidewinder.call("add", %{a: 1, b: 2})
    spawn(fn -> Sidewinder.call("wait", %{timeout: 1000}) end)
    IO.puts("numbers \#{System.pid()} \#{Sidewinder.Daemon.os_pid(Sidewinder)}")
    Process.sleep(:infinity)
    """

    {beam, daemon} = Beam.start(program)
    {beam, Tree.below(beam) |> Map.merge(Tree.below(daemon)) |> Map.merge(Tree.kept_in(context.folder))}
  end
end
