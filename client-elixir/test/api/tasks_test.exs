defmodule Sidewinder.TasksTest do
  @moduledoc "The tasks of mix, against the real daemon."
  use ExUnit.Case, async: false

  alias Mix.Tasks.Sidewinder.{Doctor, Gen}
  alias Sidewinder.Test.RealDaemon

  setup do
    Mix.shell(Mix.Shell.Process)
    on_exit(fn -> Mix.shell(Mix.Shell.IO) end)
    %{folder: RealDaemon.folder()}
  end

  test "the doctor finds a daemon, its lease and its pools" do
    daemon = RealDaemon.start()
    _client = RealDaemon.client(daemon, name: :ready)
    Doctor.run(["--address", daemon.socket])
    said = said()
    assert said =~ "ok    Elixir #{System.version()}"
    assert said =~ ~r/the daemon at .*s\.sock is \d+\.\d+/
    assert said =~ "pool default serves with"
    assert said =~ ~r/a question takes \d+ µs/
    assert said =~ "lease"
  end

  test "the doctor asks each of several daemons for a lease" do
    port = RealDaemon.port(RealDaemon.start(["--tcp", "127.0.0.1:0", "--mode", "distributed"]))
    Doctor.run(["--address", "dns:localhost:#{port}"])
    assert said() =~ ~r/ok    127\.0\.0\.1:#{port} grants a lease: /
  end

  test "the doctor says what would help", %{folder: folder} do
    assert_raise Mix.Error, fn -> Doctor.run(["--adress", "x"]) end
    assert_raise Mix.Error, ~r/no address/, fn -> Doctor.run(["--address", "nonsense"]) end
    try(do: Doctor.run(["--address", Path.join(folder, "none.sock")]), catch: (:exit, {:shutdown, 1} -> :ok))
    assert said() =~ "start one with `sidewinder run --tools MODULE`"
  end

  test "a module is made of the tools of a daemon, compiles and works", %{folder: folder} do
    daemon = RealDaemon.start()
    client = RealDaemon.client(daemon, name: :made)
    file = Path.join(folder, "made.ex")
    args = ["Made.OfTools", "--address", daemon.socket, "--client", ":made", "--output", file]
    Gen.Tools.run(args)
    Gen.Tools.run(args ++ ["--check"])
    assert [{module, _}] = Code.compile_file(file)
    assert {:ok, 3} = module.add(%{a: 1})
    assert {:ok, 3} = module.add([1, 2], timeout: 5_000)
    assert [0, 1] = Enum.to_list(module.count(%{until: 2}))
    assert {:ok, pid} = module.who()
    assert is_integer(pid) and client == :made
    text = File.read!(file)
    assert text =~ "Adds."
    assert text =~ "`b` (`int`), `2` unless given"
    File.write!(file, text <> "# changed")
    assert_raise Mix.Error, ~r/stale/, fn -> Gen.Tools.run(args ++ ["--check"]) end
    assert_raise Mix.Error, ~r/usage/, fn -> Gen.Tools.run(["not a module"]) end
  end

  test "nothing that comes from Python is taken for Elixir" do
    tools = [
      %{name: "do", stream?: false, doc: "", parameters: [], returns: ""},
      %{name: "a; System.halt()", stream?: false, doc: "", parameters: [], returns: ""},
      %{name: "fine", stream?: false, doc: "\"\"\"\n\#{System.halt()}", parameters: [], returns: ""}
    ]

    text = Sidewinder.Tools.source(tools, "Odd.Tools", "Sidewinder", nil)
    assert [{module, _}] = Code.compile_string(text)
    assert [{:fine, 0}, {:fine, 1}, {:fine, 2}] = module.__info__(:functions)
  end

  defp said(text \\ "") do
    receive do
      {:mix_shell, _, [line]} -> said(text <> IO.iodata_to_binary(line) <> "\n")
    after
      0 -> String.replace(text, ~r/\e\[\d+m/, "")
    end
  end
end
