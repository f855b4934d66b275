defmodule Sidewinder.RestartsTest do
  @moduledoc "One side is started anew while a call by a key runs: the call goes on, and its ending is found."
  use ExUnit.Case, async: false

  import Sidewinder.Test.RealDaemon, only: [eventually: 1]

  alias Sidewinder.Error
  alias Sidewinder.Test.{Beam, RealDaemon}

  @moduletag timeout: 60_000

  test "a BEAM that is asked to end detaches, and the next one finds the ending of its call" do
    daemon = RealDaemon.start(["--mode", "independent"])
    watcher = RealDaemon.client(daemon)
    :ok = Sidewinder.subscribe(watcher)
    file = Path.join(daemon.folder, "note")

    {beam, _} =
      Beam.start("""
      #{application(daemon)}
      arguments = %{file: #{inspect(file)}, seconds: 2.0}
      spawn(fn -> Sidewinder.call("mark", arguments, idempotency_key: "k-1", on_abandon: :finish) end)
      IO.puts("numbers \#{System.pid()} 0")
      Process.sleep(:infinity)
      """)

    eventually(fn -> File.read(file) == {:ok, "x"} end)
    {_, 0} = System.cmd("kill", ["-TERM", Integer.to_string(beam)])
    assert_receive {:sidewinder, ^watcher, %{what: :client_detached, facts: %{"client" => "deployed"}}}, 10_000
    assert_receive {_, {:exit_status, 0}}, 20_000

    {next, 1} =
      Beam.start("""
      #{application(daemon)}
      {:ok, "rested"} = Sidewinder.result("k-1")
      {:ok, "rested"} = Sidewinder.call("mark", %{file: #{inspect(file)}, seconds: 2.0}, idempotency_key: "k-1")
      IO.puts("numbers \#{System.pid()} 1")
      """)

    assert next != beam
    assert File.read(file) == {:ok, "x"}
    refute_received {:sidewinder, ^watcher, %{what: :client_died}}
  end

  # As a release runs it: under the supervisor of an application, which is stopped in order.
  defp application(daemon) do
    """
    defmodule Deployed do
      use Application
      def start(_, _) do
        client = {Sidewinder, address: #{inspect(daemon.socket)}, client_name: "deployed"}
        Supervisor.start_link([client], strategy: :one_for_one)
      end
    end
    :ok = :application.load({:application, :deployed, [mod: {Deployed, []}, applications: [:sidewinder]]})
    {:ok, _} = Application.ensure_all_started(:deployed)
    :ok = Sidewinder.wait_ready()
    """
  end

  test "a daemon that another program takes the place of keeps the call, and its client comes back" do
    daemon = RealDaemon.start(["--mode", "independent"], env: [{"SIDEWINDER_DAEMON_UPGRADE", "true"}])
    client = RealDaemon.client(daemon)
    :ok = Sidewinder.subscribe(client)
    {:ok, %{run: run}} = Sidewinder.status(client)
    file = Path.join(daemon.folder, "note")
    # Long enough for another program to be asked, and to take over, on a busy machine.
    arguments = %{file: file, seconds: 5.0}
    options = [idempotency_key: "k-1", on_abandon: :finish]
    call = Task.async(fn -> Sidewinder.call(client, "mark", arguments, options) end)
    eventually(fn -> File.read(file) == {:ok, "x"} end)
    RealDaemon.signal(daemon, "USR2")
    # Its connection is gone, and whoever asked is told that the call may have run, and not more.
    assert {:error, %Error{reason: reason, ran: :maybe}} = Task.await(call, 20_000)
    assert reason in [:unavailable, :stopping]
    assert_receive {:sidewinder, ^client, %{what: :attached, daemon_changed: true}}, 20_000
    {:ok, %{run: next}} = Sidewinder.status(client)
    assert next != run
    assert {:ok, "rested"} = Sidewinder.result(client, "k-1")
    assert {:ok, "rested"} = Sidewinder.call(client, "mark", arguments, options)
    assert File.read(file) == {:ok, "x"}
  end
end
