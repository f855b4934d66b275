defmodule Sidewinder.CallsTest do
  @moduledoc "What this library does about calls by itself, against the stand-in: retries, options, casts, sessions."
  use ExUnit.Case, async: true

  import Sidewinder.Test.RealDaemon, only: [eventually: 1]

  alias Sidewinder.{Error, Testing}

  setup do
    name = :"calls_#{System.unique_integer([:positive])}"
    start_supervised!({Testing, name: name, tools: %{"echo" => & &1}, max_casts: 2, timeout: 10_000})
    %{name: name}
  end

  test "what did not run is tried again when the daemon says so, and with growing pauses", %{name: name} do
    count = :counters.new(1, [])

    Testing.put_tool(name, "full", fn _ ->
      :counters.add(count, 1, 1)
      if :counters.get(count, 1) < 3, do: raise(%Error{reason: :queue_full, ran: :no, retry_after: 20})
      :counters.get(count, 1)
    end)

    begun = System.monotonic_time(:millisecond)
    assert {:ok, 3} = Sidewinder.call(name, "full", %{})
    assert System.monotonic_time(:millisecond) - begun >= 20 + 40
    :counters.put(count, 1, 0)
    assert {:error, %Error{reason: :queue_full}} = Sidewinder.call(name, "full", %{}, retries: 1)
    assert :counters.get(count, 1) == 2
    :counters.put(count, 1, 0)
    assert {:error, %Error{reason: :queue_full}} = Sidewinder.call(name, "full", %{}, timeout: 15)
    assert :counters.get(count, 1) == 1
    :counters.put(count, 1, 0)
    assert [3] = Enum.to_list(Sidewinder.stream(name, "full", %{}))
  end

  test "what may have run is never tried again", %{name: name} do
    for error <- [
          %Error{reason: :worker_died, ran: :maybe, retry_after: 1},
          %Error{reason: :quarantined, ran: :no},
          %Error{reason: :raised, ran: :maybe}
        ] do
      Testing.forget_calls(name)
      Testing.put_tool(name, "once", fn _ -> raise error end)
      assert {:error, %Error{}} = Sidewinder.call(name, "once", %{})
      assert length(Testing.calls(name)) == 1
    end
  end

  test "a stream that has begun is not tried again", %{name: name} do
    Testing.put_tool(name, "breaks", fn _ ->
      Stream.map(1..2, fn
        2 -> raise %Error{reason: :queue_full, ran: :no, retry_after: 1}
        number -> number
      end)
    end)

    assert_raise Error, fn -> Enum.to_list(Sidewinder.stream(name, "breaks", %{})) end
    assert length(Testing.calls(name)) == 1
  end

  test "every option arrives", %{name: name} do
    options = [
      pool: "p",
      affinity: "k",
      affinity_mode: :strict_fail_fast,
      idempotency_key: "i",
      priority: :high,
      on_abandon: :finish,
      metadata: %{"m" => "1"}
    ]

    assert {:ok, %{"a" => 1}} = Sidewinder.call(name, "echo", %{a: 1}, options)

    assert [
             %{
               pool: "p",
               affinity: "k",
               affinity_mode: :AFFINITY_MODE_STRICT_FAIL_FAST,
               idempotency_key: "i",
               priority: :PRIORITY_HIGH,
               on_abandon: :ON_ABANDON_FINISH,
               metadata: %{"m" => "1"},
               content_type: "application/msgpack",
               kind: :call
             }
           ] = Testing.calls(name)
  end

  test "arguments in every form", %{name: name} do
    assert {:ok, %{"a" => 1}} = Sidewinder.call(name, "echo", a: 1)
    assert {:ok, [1, 2]} = Sidewinder.call(name, "echo", [1, 2])
    assert {:ok, %{}} = Sidewinder.call(name, "echo", nil)
    assert {:ok, []} = Sidewinder.call(name, "echo", [])
    assert {:ok, "bytes"} = Sidewinder.call(name, "echo", ["by", "tes"], content_type: :bytes)
    assert {:ok, "png"} = Sidewinder.call(name, "echo", "png", content_type: "image/png")
    assert_raise ArgumentError, ~r/twice/, fn -> Sidewinder.call(name, "echo", a: 1, a: 2) end
    assert_raise ArgumentError, ~r/named by text/, fn -> Sidewinder.call(name, :echo, %{}, []) end
  end

  test "a value module of one's own", %{} do
    defmodule Upper do
      @moduledoc "Text in capitals."
      @behaviour Sidewinder.Value
      def content_type, do: "text/upper"
      def encode(text), do: {:ok, String.upcase(text)}
      def decode(data), do: {:ok, {:upper, data}}
    end

    name = :"own_#{System.unique_integer([:positive])}"
    start_supervised!({Testing, name: name, tools: %{"echo" => & &1}, values: [Upper], content_type: Upper}, id: name)
    # The stand-in does not know it, and takes the bytes for what they are.
    assert {:ok, {:upper, "ABC"}} = Sidewinder.call(name, "echo", "abc")
  end

  test "a session is options", %{name: name} do
    session = Sidewinder.session(name, "user", affinity_mode: :strict_queue, timeout: 5_000)
    assert {:ok, _} = Sidewinder.call(session, "echo", %{})
    assert {:ok, _} = Sidewinder.call(session, "echo", %{}, affinity_mode: :hint)
    assert [first, second] = Testing.calls(name)
    assert %{affinity: "user", affinity_mode: :AFFINITY_MODE_STRICT_QUEUE} = first
    assert %{affinity: "user", affinity_mode: :AFFINITY_MODE_HINT} = second
  end

  test "casts are bounded, and run on", %{name: name} do
    me = self()

    Testing.put_tool(name, "rest", fn _ ->
      send(me, {:rests, self()})
      receive(do: (:go -> 1))
    end)

    assert :ok = Sidewinder.cast(name, "rest", %{})
    assert :ok = Sidewinder.cast(name, "rest", %{})
    assert_receive {:rests, one}
    assert_receive {:rests, two}
    assert {:error, %Error{reason: :too_many_casts, ran: :no}} = Sidewinder.cast(name, "rest", %{})
    assert [%{on_abandon: :ON_ABANDON_FINISH} | _] = Testing.calls(name)
    send(one, :go)
    send(two, :go)
    eventually(fn -> Sidewinder.cast(name, "echo", %{}) == :ok end)
  end

  test "an answer that cannot be read is told apart", %{name: name} do
    Testing.put_tool(name, "odd", fn _ -> {:a, :tuple} end)
    assert {:error, %Error{reason: :raised, exception: "UnencodableError"}} = Sidewinder.call(name, "odd", %{})
  end

  test "an unknown key has no ending", %{name: name} do
    assert {:error, %Error{reason: :unknown_key, ran: :no}} = Sidewinder.result(name, "nothing")
  end

  test "a deadline ends a call here as well", %{name: name} do
    Testing.put_tool(name, "never", fn _ -> receive(do: (:never -> 1)) end)
    # The lease is there.
    assert {:ok, _} = Sidewinder.call(name, "echo", %{})
    assert {:error, %Error{reason: :deadline_exceeded}} = Sidewinder.call(name, "never", %{}, timeout: 30)

    assert {:error, %Error{reason: :deadline_exceeded, ran: :maybe}} =
             Sidewinder.await(Sidewinder.async(name, "never", %{}), 30)
  end

  test "the caller that dies ends its call", %{name: name} do
    me = self()

    Testing.put_tool(name, "never", fn _ ->
      send(me, {:runs, self()})
      receive(do: (:never -> 1))
    end)

    caller = spawn(fn -> Sidewinder.call(name, "never", %{}) end)
    assert_receive {:runs, tool}
    monitor = Process.monitor(tool)
    Process.exit(caller, :kill)
    assert_receive {:DOWN, ^monitor, :process, _, :killed}
  end

  test "without a client the one of that name is meant" do
    total = fn arguments, %{inputs: inputs} -> Map.get(arguments, "start", 0) + Enum.sum(inputs) end
    twice = fn _, %{inputs: inputs} -> Stream.map(inputs, &(2 * &1)) end
    start_supervised!({Testing, tools: %{"echo" => & &1, "total" => total, "twice" => twice}}, id: :usual)
    assert {:ok, %{"a" => 1}} = Sidewinder.call("echo", %{a: 1})
    assert {:ok, %{"a" => 1}} = Sidewinder.call("echo", %{a: 1}, timeout: 1_000)
    assert [%{}] = Enum.to_list(Sidewinder.stream("echo", %{a: 1}))
    assert %{"a" => 1} = Sidewinder.call!("echo", %{a: 1})
    assert %{"a" => 1} = Sidewinder.call!("echo", %{a: 1}, timeout: 1_000)
    assert {:ok, %{"a" => 1}} = "echo" |> Sidewinder.async(%{a: 1}) |> Sidewinder.await()
    assert :ok = Sidewinder.cast("echo", %{a: 1})
    assert :ok = Sidewinder.cast("echo", %{a: 1}, timeout: 1_000)
    assert {:ok, %{}} = "user" |> Sidewinder.session(affinity_mode: :hint) |> Sidewinder.call("echo", %{})
    assert %{client: Sidewinder, key: "user"} = Sidewinder.session("user")
    assert {:error, %Error{reason: :unknown_key}} = Sidewinder.result("k")
    assert {:error, %Error{reason: :unknown_key}} = Sidewinder.result("k", name: "other")
    assert {:ok, 6} = Sidewinder.upload("total", [1, 2, 3])
    assert {:ok, 6} = Sidewinder.upload(Sidewinder, "total", [1, 2, 3])
    assert {:ok, 7} = Sidewinder.upload("total", [1, 2, 3], %{start: 1})
    assert {:ok, 7} = Sidewinder.upload("total", [1, 2, 3], %{start: 1}, timeout: 1_000)
    assert {:ok, 7} = Sidewinder.upload(Sidewinder, "total", [1, 2, 3], %{start: 1})
    assert [2, 4] = "twice" |> Sidewinder.converse([1, 2]) |> Enum.to_list()
    assert [2, 4] = "twice" |> Sidewinder.converse([1, 2], %{}, timeout: 1_000) |> Enum.to_list()
    assert [2, 4] = Sidewinder |> Sidewinder.converse("twice", [1, 2]) |> Enum.to_list()
    assert {:ok, [%{name: "echo"}, %{name: "total"}, %{name: "twice"}]} = Sidewinder.tools()
    assert :ok = Sidewinder.wait_ready()
  end
end
