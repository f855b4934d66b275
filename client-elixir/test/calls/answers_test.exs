defmodule Sidewinder.Calls.AnswersTest do
  @moduledoc "Calls with one answer, against the real daemon."
  use ExUnit.Case, async: true

  alias Sidewinder.{Error, Value}
  alias Sidewinder.Test.RealDaemon

  setup_all do
    %{daemon: RealDaemon.start()}
  end

  setup %{daemon: daemon}, do: %{client: RealDaemon.client(daemon)}

  test "arguments go by name, by keyword and by place", %{client: client} do
    assert {:ok, 3} = Sidewinder.call(client, "add", %{a: 1, b: 2})
    assert {:ok, 3} = Sidewinder.call(client, "add", %{"a" => 1})
    assert {:ok, 3} = Sidewinder.call(client, "add", a: 1, b: 2)
    assert {:ok, 3} = Sidewinder.call(client, "add", [1, 2])
    assert 3 == Sidewinder.call!(client, "add", [1, 2])
  end

  test "values come back as what they were", %{client: client} do
    for value <- [
          nil,
          true,
          -1,
          1.5,
          "ä",
          "",
          [1, [2]],
          %{"a" => %{"b" => nil}},
          0xFFFFFFFFFFFFFFFF,
          ~U[2024-02-29 12:00:00.123456Z]
        ] do
      assert {:ok, value} == Sidewinder.call(client, "echo", %{value: value})
    end

    assert {:ok, <<0, 255>>} = Sidewinder.call(client, "echo", %{value: Value.bytes(<<0, 255>>)})
    assert {:ok, "atom"} = Sidewinder.call(client, "echo", %{value: :atom})
    assert {:ok, :nan} = Sidewinder.call(client, "echo", %{value: :nan})
  end

  test "bytes go as they are", %{client: client} do
    assert {:ok, <<3, 2, 255>>} = Sidewinder.call(client, "reverse", <<255, 2, 3>>, content_type: :bytes)
    assert {:ok, <<3, 2, 255>>} = Sidewinder.call(client, "reverse", [<<255>>, [2, 3]], content_type: :bytes)
  end

  test "JSON goes where there is a module for it", %{client: client} do
    case Sidewinder.call(client, "echo", %{value: %{a: [1, nil, "ä"]}}, content_type: :json) do
      {:ok, value} -> assert value == %{"a" => [1, nil, "ä"]}
      {:error, error} -> assert {:unencodable, nil} == {error.reason, Value.Json.module()}
    end
  end

  test "a value that cannot be carried is not sent", %{client: client} do
    assert {:error, %Error{reason: :unencodable, ran: :no} = error} =
             Sidewinder.call(client, "echo", %{value: [1, {2}]})

    assert error.message == "value[1]: a tuple has no counterpart: make it a list"
  end

  test "what Python raises is an answer with its traceback", %{client: client} do
    assert {:error, %Error{} = error} = Sidewinder.call(client, "fail", %{message: "no luck", note: "a note"})
    assert %{reason: :raised, exception: "ValueError", code: :unknown, tool: "fail"} = error
    assert error.message =~ "no luck"
    assert error.traceback =~ "in fail"
    assert error.detail =~ "a note"
    refute Error.retry?(error)
    assert_raise Error, ~r/no luck/, fn -> Sidewinder.call!(client, "fail", %{message: "no luck"}) end
  end

  test "what is asked wrongly did not run", %{client: client} do
    assert {:error, %Error{reason: :unknown_tool, ran: :no}} = Sidewinder.call(client, "nothing", %{})
    assert {:error, %Error{reason: :bad_arguments, ran: :no}} = Sidewinder.call(client, "add", %{c: 1})
    assert {:error, %Error{reason: :unknown_pool, ran: :no}} = Sidewinder.call(client, "add", %{a: 1}, pool: "other")
  end

  test "a worker that dies is told with what is known of its death", %{client: client} do
    assert {:error, %Error{reason: :worker_died, exit_status: 7, ran: :maybe} = error} =
             Sidewinder.call(client, "leave", %{status: 7})

    assert error.worker =~ ~r/^\d+\.\d+$/
    assert error.detail =~ "about to leave"
    assert {:error, %Error{reason: :worker_died, signal: 9}} = Sidewinder.call(client, "kill", %{signal: 9})
  end

  test "a timeout is a deadline, and frees the worker", %{client: client} do
    begun = System.monotonic_time(:millisecond)
    assert {:error, %Error{reason: :deadline_exceeded}} = Sidewinder.call(client, "wait", %{timeout: 30}, timeout: 200)
    assert System.monotonic_time(:millisecond) - begun < 5_000
    assert {:ok, %{"remaining" => remaining}} = Sidewinder.call(client, "surroundings", %{}, timeout: 5_000)
    assert remaining > 3 and remaining <= 5
    assert {:ok, %{"remaining" => nil}} = Sidewinder.call(client, "surroundings", %{}, timeout: :infinity)
    idle(client)
  end

  test "metadata and the trace come along", %{client: client} do
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    assert {:ok, %{"metadata" => %{"who" => "me"}, "traceparent" => ^parent}} =
             Sidewinder.call(client, "surroundings", %{}, metadata: %{"who" => "me"}, traceparent: parent)
  end

  test "a caller that dies cancels its call", %{client: client} do
    file = Path.join(RealDaemon.folder(), "note")
    caller = spawn(fn -> Sidewinder.call(client, "until_cancelled", %{file: file}) end)
    RealDaemon.eventually(fn -> File.read(file) == {:ok, "runs"} end)
    Process.exit(caller, :kill)
    RealDaemon.eventually(fn -> File.read(file) == {:ok, "cancelled"} end)
    idle(client)
  end

  test "async and await; a late answer cancels the call", %{client: client} do
    tasks = for a <- 1..20, do: Sidewinder.async(client, "add", %{a: a, b: 0})
    assert Enum.map(tasks, &Sidewinder.await/1) == for(a <- 1..20, do: {:ok, a})
    file = Path.join(RealDaemon.folder(), "note")
    slow = Sidewinder.async(client, "until_cancelled", %{file: file})
    RealDaemon.eventually(fn -> File.read(file) == {:ok, "runs"} end)
    assert {:error, %Error{reason: :deadline_exceeded}} = Sidewinder.await(slow, 10)
    RealDaemon.eventually(fn -> File.read(file) == {:ok, "cancelled"} end)
  end

  test "a cast runs without its caller", %{client: client} do
    file = Path.join(RealDaemon.folder(), "note")
    caller = spawn(fn -> :ok = Sidewinder.cast(client, "mark", %{file: file, seconds: 0.1}) end)
    monitor = Process.monitor(caller)
    assert_receive {:DOWN, ^monitor, :process, _, :normal}, 5_000
    RealDaemon.eventually(fn -> File.read(file) == {:ok, "x"} end)
  end

  test "a session stays on one worker", %{client: client} do
    session = Sidewinder.session(client, "user-17", affinity_mode: :strict_queue)
    pids = for _ <- 1..10, do: Sidewinder.call!(session, "who", %{})
    assert length(Enum.uniq(pids)) == 1
  end

  test "the daemon and its tools can be looked at", %{client: client} do
    assert {:ok, %{pools: [%{name: "default", phase: :serving}], version: version}} = Sidewinder.status(client)

    assert version =~ "."
    assert {:ok, tools} = Sidewinder.tools(client)

    assert %{doc: "Adds.", stream?: false, parameters: [%{name: "a", required: true}, b]} =
             Enum.find(tools, &(&1.name == "add"))

    assert %{name: "b", required: false, default_json: "2"} = b
  end

  test "16 MB go there and back", %{client: client} do
    data = :crypto.strong_rand_bytes(16_000_000)
    assert {:ok, back} = Sidewinder.call(client, "echo", %{value: Value.bytes(data)}, timeout: 60_000)
    assert back == data
  end

  test "1,000 calls at once all have their own answer", %{client: client} do
    tasks = for a <- 1..1_000, do: Sidewinder.async(client, "add", %{a: a, b: 0}, retries: 50)
    assert Enum.map(tasks, &Sidewinder.await(&1, 60_000)) == for(a <- 1..1_000, do: {:ok, a})
  end

  test "no daemon at all is told, and did not run" do
    socket = Path.join(RealDaemon.folder(), "none.sock")
    start_supervised!({Sidewinder, name: :nobody, address: socket, wait: 50})
    assert {:error, %Error{ran: :no, code: :unavailable}} = Sidewinder.call(:nobody, "add", %{a: 1})
  end

  defp idle(client) do
    RealDaemon.eventually(fn ->
      {:ok, %{pools: pools}} = Sidewinder.status(client)
      Enum.all?(pools, &(&1.running == 0))
    end)
  end
end
