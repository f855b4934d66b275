defmodule Sidewinder.Lease.RealTest do
  @moduledoc "The lease of a client, against the real daemon."
  use ExUnit.Case, async: true

  import Sidewinder.Test.RealDaemon, only: [eventually: 1]

  alias Sidewinder.{Client, Error, Lease}
  alias Sidewinder.Test.RealDaemon

  setup do
    %{daemon: RealDaemon.start()}
  end

  test "a client is there, is heard, and hears", %{daemon: daemon} do
    me = self()
    handler = fn event, measured, shown -> send(me, {event, measured, shown}) end
    client = RealDaemon.client(daemon, interval: 200, handler: handler, labels: %{"team" => "ml"}, client_name: "shop")
    assert {:ok, %{clients: 1, mode: "independent", lease: lease}} = Sidewinder.status(client)
    assert %{attached: true, mode: "independent", resumed: false, epoch: epoch} = lease
    assert epoch > 0
    assert_receive {[:sidewinder, :beat, :received], %{round_trip_us: us}, _} when is_integer(us)
    assert us < 1_000_000
    :ok = Sidewinder.subscribe(client)
    assert {:error, %Error{reason: :worker_died}} = Sidewinder.call(client, "leave", %{status: 7})
    assert_receive {:sidewinder, ^client, %{what: :worker_gone, pool: "default", worker: worker, facts: facts}}
    assert worker =~ "."
    assert facts["exit_status"] == "7"
    assert_receive {:sidewinder, ^client, %{what: :worker_ready}}
    assert_receive {:sidewinder, ^client, %{what: :standing, pools: [%{name: "default", phase: :serving}]}}
  end

  test "a call by a lease that has ended is made again under a new one", %{daemon: daemon} do
    client = RealDaemon.client(daemon)
    assert {:ok, 3} = Sidewinder.call(client, "add", %{a: 1, b: 2})
    {:ok, {lease, epoch}} = Client.lookup(client, :lease)
    # One that there never was, and one of an older epoch: what is written there is what calls say.
    for said <- [{"0123456789ab-9", 1}, {lease, epoch - 1}] do
      Client.note(Client.fetch!(client), :lease, said)
      assert {:ok, 3} = Sidewinder.call(client, "add", %{a: 1, b: 2})
      assert {:ok, {^lease, ^epoch}} = Client.lookup(client, :lease)
      Client.note(Client.fetch!(client), :lease, said)
      assert [0, 1] = Enum.to_list(Sidewinder.stream(client, "count", %{until: 2}))
    end
  end

  test "a daemon that was killed and comes back is found again", %{daemon: daemon} do
    client = RealDaemon.client(daemon)
    :ok = Sidewinder.subscribe(client)
    assert {:ok, 3} = Sidewinder.call(client, "add", %{a: 1, b: 2})
    RealDaemon.kill(daemon)
    assert_receive {:sidewinder, ^client, %{what: :lost}}
    again = RealDaemon.start_at(daemon.folder, daemon.socket, [])
    on_exit(fn -> RealDaemon.kill(again) end)
    assert_receive {:sidewinder, ^client, %{what: :attached, daemon_changed: true, resumed: false}}, 10_000
    assert {:ok, 3} = Sidewinder.call(client, "add", %{a: 1, b: 2})
  end

  test "a daemon that hangs is noticed, and its lease goes on", %{daemon: daemon} do
    me = self()
    handler = fn event, measured, shown -> send(me, {event, measured, shown}) end
    client = RealDaemon.client(daemon, interval: 200, handler: handler)
    {:ok, {lease, _}} = Lease.here(Client.fetch!(client), :infinity)
    RealDaemon.signal(daemon, "STOP")
    assert_receive {[:sidewinder, :beat, :missed], %{silent_ms: silent}, %{lease: ^lease}}, 10_000
    assert silent >= 300
    RealDaemon.signal(daemon, "CONT")
    assert {:ok, 3} = Sidewinder.call(client, "add", %{a: 1, b: 2})
    assert {:ok, {^lease, _}} = Lease.here(Client.fetch!(client), :infinity)
  end

  test "a stop is told from a death", %{daemon: daemon} do
    watcher = RealDaemon.client(daemon)
    :ok = Sidewinder.subscribe(watcher)
    leaving = RealDaemon.client(daemon, client_name: "leaving")
    assert_receive {:sidewinder, ^watcher, %{what: :client_attached, text: text}}
    assert text =~ "leaving"
    :ok = stop_supervised(leaving)
    assert_receive {:sidewinder, ^watcher, %{what: :client_detached}}
    dying = RealDaemon.client(daemon, client_name: "dying")
    assert_receive {:sidewinder, ^watcher, %{what: :client_attached}}
    Process.flag(:trap_exit, true)
    supervisor = Process.whereis(dying)
    Process.exit(Process.whereis(Client.part(dying, :Lease)), :kill)
    assert_receive {:sidewinder, ^watcher, %{what: :client_resumed}}
    assert Process.alive?(supervisor)
  end

  test "the next run of a client finds the endings of its keyed calls", %{daemon: daemon} do
    file = Path.join(daemon.folder, "note")
    first = RealDaemon.client(daemon, client_name: "shop")
    arguments = %{file: file, seconds: 1.0}
    task = Task.async(fn -> Sidewinder.call(first, "mark", arguments, idempotency_key: "k-1", on_abandon: :finish) end)
    eventually(fn -> File.read(file) == {:ok, "x"} end)
    # A deploy: the first run is gone in the middle of its call.
    Task.shutdown(task, :brutal_kill)
    :ok = stop_supervised(first)
    second = RealDaemon.client(daemon, client_name: "shop")
    assert {:ok, "rested"} = Sidewinder.result(second, "k-1")
    assert {:ok, "rested"} = Sidewinder.call(second, "mark", arguments, idempotency_key: "k-1")
    assert File.read(file) == {:ok, "x"}
    stranger = RealDaemon.client(daemon, client_name: "other")
    assert {:error, %Error{reason: :unknown_key, ran: :no}} = Sidewinder.result(stranger, "k-1")
    assert {:ok, "rested"} = Sidewinder.result(stranger, "k-1", name: "shop")
  end

  test "a client that believes in another mode is refused, and says so", %{daemon: daemon} do
    name = :"mode_#{System.unique_integer([:positive])}"
    start_supervised!({Sidewinder, name: name, address: daemon.socket, mode: :supervised, wait: 2_000})
    assert {:error, %Error{ran: :no} = error} = Sidewinder.call(name, "add", %{a: 1})
    assert error.reason in [:other_mode, :not_attached]
    assert Exception.message(error) =~ "mode"
  end

  test "a busy BEAM beats on, and says how busy it is", %{daemon: daemon} do
    me = self()

    handler = fn
      [:sidewinder, :beat, :received], _, _ -> send(me, :heard)
      [:sidewinder, :beat, :sent], %{load: load}, _ -> send(me, {:load, load})
      _, _, _ -> :ok
    end

    client = RealDaemon.client(daemon, interval: 200, handler: handler)
    {:ok, {lease, epoch}} = Lease.here(Client.fetch!(client), :infinity)

    busy =
      for _ <- 1..(25 * System.schedulers_online()),
          do: spawn(fn -> Enum.reduce_while(Stream.iterate(0, &(&1 + 1)), 0, fn _, n -> {:cont, n + 1} end) end)

    for _ <- 1..8, do: assert_receive(:heard)
    # Whoever is ready to run waits behind those that do, one for each processor.
    waiting = length(busy) - System.schedulers_online()
    assert_receive {:load, load} when load >= div(waiting, 2)
    for pid <- busy, do: Process.exit(pid, :kill)
    assert {:ok, {^lease, ^epoch}} = Lease.here(Client.fetch!(client), :infinity)
    assert {:ok, %{lease: %{attached: true}}} = Sidewinder.status(client)
  end
end
