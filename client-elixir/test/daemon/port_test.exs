defmodule Sidewinder.Daemon.PortTest do
  @moduledoc "A daemon of our own: how it is found, started, watched, and how it ends; with a program in its place."
  use ExUnit.Case, async: true

  import ExUnit.CaptureLog
  import Sidewinder.Test.RealDaemon, only: [alive?: 1, eventually: 1, folder: 0]

  alias Sidewinder.{Client, Daemon, Telemetry}
  alias Sidewinder.Daemon.Place

  setup do
    %{folder: folder()}
  end

  test "the program is looked for where it was said, and told where it was looked for", %{folder: folder} do
    file = Path.join(folder, "sidewinder")
    assert {:error, what} = Place.binary(file)
    assert what =~ "the option binary names #{file}"
    File.write!(file, "#!/bin/sh\n")
    assert {:error, _} = Place.binary(file)
    File.chmod!(file, 0o755)
    assert {:ok, ^file} = Place.binary(file)
  end

  test "a socket has a short path" do
    long = "/" <> String.duplicate("x", 120)
    assert {:error, problems} = Place.daemon(:a, [tools: ["t"], binary: "/bin/sh"], long)
    assert Enum.any?(problems, &(&1 =~ "107 bytes"))
  end

  test "it lives by its standard input, and what it prints is logged", %{folder: folder} do
    log =
      capture_log(fn ->
        name =
          start(
            ~s(until [ -e go ]; do sleep 0.01; done; echo '{"level":"WARN","text":"look here","pool":"fast"}'; exec cat >/dev/null),
            folder,
            cd: folder
          )

        pid = Daemon.os_pid(name)
        assert alive?(pid)
        assert_receive {[:sidewinder, :daemon, :started], %{count: 1}, %{os_pid: ^pid}}
        keeper = Process.whereis(Sidewinder.Client.part(name, :Daemon))
        :erlang.trace(keeper, true, [:receive])
        File.touch!(Path.join(folder, "go"))
        assert_receive {:trace, ^keeper, :receive, {_port, {:data, _}}}, 10_000
        # What it said is in the mailbox, and this question is behind it.
        assert ^pid = Daemon.os_pid(name)
        stop_supervised!(name)
        refute alive?(pid)
      end)

    assert log =~ "sidewinder run: fast look here"
    assert log =~ "[warning]"
  end

  test "one that ends by itself is started again, later each time", %{folder: folder} do
    name = start("exit 3", folder)
    assert_receive {[:sidewinder, :daemon, :exited], %{status: 3, restart_in_ms: 100}, _}
    assert_receive {[:sidewinder, :daemon, :exited], %{status: 3, restart_in_ms: 200}, _}
    assert_receive {[:sidewinder, :daemon, :exited], %{status: 3, restart_in_ms: 400}, _}
    stop_supervised!(name)
  end

  test "its environment and folder are what was said", %{folder: folder} do
    start("printf '%s %s' \"$WHO\" \"$PWD\" > said; exec cat", folder, env: %{"WHO" => "me"}, cd: folder)
    eventually(fn -> File.read(Path.join(folder, "said")) == {:ok, "me #{folder}"} end)
  end

  defp start(script, folder, further \\ []) do
    name = :"daemon_#{System.unique_integer([:positive])}"
    me = self()
    handler = fn event, measured, shown -> send(me, {event, measured, shown}) end
    file = Path.join(folder, "program")
    File.write!(file, "#!/bin/sh\n" <> script <> "\n")
    File.chmod!(file, 0o755)
    {:ok, daemon} = Place.daemon(name, [tools: ["t"], binary: file] ++ further, Path.join(folder, "s.sock"))

    client = %Client{
      name: name,
      options: %{},
      sink: Telemetry.sink(name, handler),
      count: nil,
      transport: nil,
      channel: nil,
      mode: %Client.Mode{name: :coupled, why: "", endpoints: [], daemon: daemon},
      encoder: nil
    }

    start_supervised!(%{id: name, start: {Daemon, :start_link, [client]}, shutdown: 15_000})
    name
  end
end
