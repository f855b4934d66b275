defmodule Sidewinder.LeaseTest do
  @moduledoc "The lease of a client, against the stand-in."
  use ExUnit.Case, async: true

  import Sidewinder.Test.RealDaemon, only: [eventually: 1]

  alias Sidewinder.{Error, Testing}

  setup context do
    name = :"lease_#{System.unique_integer([:positive])}"
    me = self()
    handler = fn event, measured, shown -> send(me, {event, measured, shown}) end
    tools = %{"add" => fn %{"a" => a} -> a + 1 end}
    options = [name: name, tools: tools, interval_ms: 40, ttl_ms: 400, handler: handler] ++ (context[:client] || [])
    start_supervised!({Testing, options})
    %{name: name}
  end

  # The stand-in tells and ends nobody of whom it has not heard yet.
  defp heard_of(name, attached),
    do: eventually(fn -> Enum.count(Testing.said(name), &match?({:hello, _}, &1)) >= attached end)

  test "it says who it is, and beats with its load", %{name: name} do
    eventually(fn -> Enum.count(Testing.said(name), &match?({:beat, _}, &1)) >= 3 end)
    [{:hello, hello} | beats] = Testing.said(name)
    assert hello.name == inspect(name)
    assert hello.node == Atom.to_string(node())
    assert hello.pid == String.to_integer(System.pid())
    assert hello.run =~ ~r/^[0-9a-f]{32}$/
    assert hello.events
    assert [1, 2, 3 | _] = for({:beat, beat} <- beats, do: beat.sequence)
    assert Enum.all?(beats, fn {:beat, beat} -> is_integer(beat.load) end)
    assert_receive {[:sidewinder, :beat, :received], %{round_trip_us: us}, _} when is_integer(us)
    assert us < 40_000
    assert {:ok, %{lease: %{attached: true, epoch: 1, round_trip_us: us}}} = Sidewinder.status(name)
    assert is_integer(us)
  end

  test "calls say the lease and its epoch", %{name: name} do
    assert {:ok, 2} = Sidewinder.call(name, "add", %{a: 1})
    assert [%{lease: "lease-1", epoch: 1}] = Testing.calls(name)
  end

  test "a broken connection is attached again, and the lease goes on under a new epoch", %{name: name} do
    Sidewinder.subscribe(name)
    {:ok, 2} = Sidewinder.call(name, "add", %{a: 1})
    Testing.disconnect(name)
    assert_receive {:sidewinder, ^name, %{what: :lost, reason: :unavailable}}

    assert_receive {:sidewinder, ^name,
                    %{what: :attached, resumed: true, epoch: 2, lease: "lease-1", daemon_changed: false}}

    assert {:ok, 2} = Sidewinder.call(name, "add", %{a: 1})
    assert %{lease: "lease-1", epoch: 2} = List.last(Testing.calls(name))
    assert [run] = for({:hello, hello} <- Testing.said(name), uniq: true, do: hello.run)
    assert run != ""
  end

  test "nobody of a line that has ended is left behind", %{name: name} do
    lease = Process.whereis(Sidewinder.Client.part(name, :Lease))
    Sidewinder.subscribe(name)

    ways = [&Testing.disconnect/1, &Testing.expire_lease/1, fn _ -> Process.exit(lease, :kill) end]

    for {ends, attached} <- Enum.with_index(ways, 1) do
      heard_of(name, attached)
      eventually(fn -> match?(%{line: %{mouth: mouth}} when is_pid(mouth), :sys.get_state(lease)) end)
      %{line: line} = :sys.get_state(lease)
      watched = for pid <- [line.ear, line.mouth], do: Process.monitor(pid)
      ends.(name)
      for monitor <- watched, do: assert_receive({:DOWN, ^monitor, :process, _, _})
      assert_receive {:sidewinder, ^name, %{what: :attached}}
    end
  end

  test "a lease that has ended is attached again at once", %{name: name} do
    Sidewinder.subscribe(name)
    {:ok, 2} = Sidewinder.call(name, "add", %{a: 1})
    Testing.expire_lease(name)
    assert_receive {:sidewinder, ^name, %{what: :lost, reason: :lease_expired}}
    assert_receive {:sidewinder, ^name, %{what: :attached, resumed: false, lease: "lease-2"}}
  end

  test "a call that is refused because of its lease is made again once, under the next one", %{name: name} do
    {:ok, 2} = Sidewinder.call(name, "add", %{a: 1})
    client = Sidewinder.Client.fetch!(name)
    # The call is on its way under a lease that nobody holds any more.
    Sidewinder.Client.note(client, :lease, {"lease-0", 1})
    before = length(Testing.calls(name))
    assert {:ok, 6} = Sidewinder.call(name, "add", %{a: 5})
    made = Enum.drop(Testing.calls(name), before)
    assert [%{lease: "lease-0"}, %{lease: "lease-1"}] = made
  end

  test "it is made again once and no more", %{name: name} do
    Testing.put_tool(name, "gone", fn _ ->
      raise %Error{reason: :lease_expired, ran: :no, code: :failed_precondition}
    end)

    assert {:error, %Error{reason: :lease_expired, ran: :no}} = Sidewinder.call(name, "gone", %{})
    assert 2 == Enum.count(Testing.calls(name), &(&1.tool == "gone"))
  end

  test "a call that may have run is not made again", %{name: name} do
    Testing.put_tool(name, "gone", fn _ -> raise %Error{reason: :lease_expired, ran: :maybe, code: :aborted} end)
    assert {:error, %Error{reason: :lease_expired, ran: :maybe}} = Sidewinder.call(name, "gone", %{})
    assert 1 == Enum.count(Testing.calls(name), &(&1.tool == "gone"))
  end

  test "a stream is opened again under the next lease as well", %{name: name} do
    {:ok, 2} = Sidewinder.call(name, "add", %{a: 1})
    Sidewinder.Client.note(Sidewinder.Client.fetch!(name), :lease, {"lease-0", 1})
    Testing.put_tool(name, "count", fn _ -> 1..3 end)
    assert [1, 2, 3] = Enum.to_list(Sidewinder.stream(name, "count", %{}))
  end

  test "silence is told, and ends in another try", %{name: name} do
    eventually(fn -> match?([_, _ | _], Testing.said(name)) end)
    Testing.silence(name)
    assert_receive {[:sidewinder, :beat, :missed], %{silent_ms: ms}, _} when ms >= 60
    assert_receive {[:snakepit, :worker, :heartbeat, :timeout], %{time_since_heartbeat_ms: _}, _}
    assert_receive {[:sidewinder, :lease, :lost], _, %{reason: :silent}}
    Testing.silence(name, false)
    assert_receive {[:sidewinder, :lease, :attached], _, %{resumed: true}}
  end

  test "a clean stop detaches", %{name: name} do
    {:ok, 2} = Sidewinder.call(name, "add", %{a: 1})
    standin = Process.whereis(Sidewinder.Client.fetch!(name).channel)
    :erlang.trace(standin, true, [:receive])
    stop_supervised!(name)
    assert_received {:trace, ^standin, :receive, {_, _, {:said, {:detach, %{why: why}}}}}
    assert why =~ "stops"
    assert_receive {[:sidewinder, :lease, :detached], %{count: 1}, %{lease: "lease-1"}}
  end

  test "a lease process that crashes goes on with its lease", %{name: name} do
    {:ok, 2} = Sidewinder.call(name, "add", %{a: 1})
    Sidewinder.subscribe(name)
    Process.exit(Process.whereis(Sidewinder.Client.part(name, :Lease)), :kill)
    assert_receive {:sidewinder, ^name, %{what: :attached, resumed: true, epoch: 2}}
    assert {:ok, 2} = Sidewinder.call(name, "add", %{a: 1})
  end

  test "no caller can hold up a beat", %{name: name} do
    {:ok, 2} = Sidewinder.call(name, "add", %{a: 1})
    lease = Process.whereis(Sidewinder.Client.part(name, :Lease))
    assert {:priority, :high} = Process.info(lease, :priority)
    # Handlers, listeners and their mailboxes are the business of another process.
    :sys.suspend(Process.whereis(Sidewinder.Client.part(name, :Bell)))
    before = Enum.count(Testing.said(name), &match?({:beat, _}, &1))
    eventually(fn -> Enum.count(Testing.said(name), &match?({:beat, _}, &1)) > before + 3 end)
    :sys.resume(Process.whereis(Sidewinder.Client.part(name, :Bell)))
  end

  test "listeners hear what happens", %{name: name} do
    :ok = Sidewinder.subscribe(name)
    :ok = Sidewinder.subscribe(name)
    heard_of(name, 1)
    Testing.event(name, :worker_gone, pool: "default", worker: "0.1", text: "it is gone", facts: %{"signal" => "9"})
    assert_receive {:sidewinder, ^name, %{what: :worker_gone, worker: "0.1", facts: %{"signal" => "9"}, lost: 0}}
    assert_receive {[:snakepit, :worker, :process, :terminated], %{count: 1}, %{worker_id: "0.1", reason: "it is gone"}}
    :ok = Sidewinder.unsubscribe(name)
    Testing.event(name, :worker_started, worker: "0.2")
    assert_receive {[:sidewinder, :event, :received], _, %{what: :worker_started}}
    refute_received {:sidewinder, ^name, %{what: :worker_started}}
    refute_received {:sidewinder, ^name, %{what: :worker_gone}}
  end

  @tag client: [subscribers_max: 1]
  test "so many may listen, and the dead do not count", %{name: name} do
    me = self()

    listener =
      spawn(fn ->
        send(me, Sidewinder.subscribe(name))
        receive(do: (:stop -> :ok))
      end)

    assert_receive :ok
    assert {:error, %Error{reason: :resource_exhausted, ran: :no}} = Sidewinder.subscribe(name)
    send(listener, :stop)
    eventually(fn -> Sidewinder.subscribe(name) == :ok end)
  end

  @tag client: [wait: 100]
  test "a call without a lease waits for one, and no longer than it may", %{name: name} do
    {:ok, 2} = Sidewinder.call(name, "add", %{a: 1})
    Testing.refuse_attach(name, %Error{reason: :too_many_clients, ran: :no, message: "full"})
    Testing.expire_lease(name)
    assert {:error, %Error{reason: reason, ran: :no}} = Sidewinder.call(name, "add", %{a: 1})
    assert reason in [:not_attached, :lease_expired]
  end

  test "another mode is refused, and calls are told at once", %{name: name} do
    {:ok, 2} = Sidewinder.call(name, "add", %{a: 1})
    Testing.refuse_attach(name, %Error{reason: :other_mode, ran: :no, message: "this daemon is supervised"})
    Testing.expire_lease(name)
    assert_receive {[:sidewinder, :lease, :refused], %{retry_in_ms: 5_000}, %{reason: :other_mode}}
  end

  @tag client: [leases: false]
  test "a daemon that knows nothing of leases is called without", %{name: name} do
    assert {:ok, 2} = Sidewinder.call(name, "add", %{a: 1})
    assert [%{lease: "", epoch: 0}] = Testing.calls(name)
  end

  @tag client: [lease: false]
  test "a client that wants no lease has none", %{name: name} do
    assert {:ok, 2} = Sidewinder.call(name, "add", %{a: 1})
    assert [%{lease: ""}] = Testing.calls(name)
    assert Testing.said(name) == []
  end
end
