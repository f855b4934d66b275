defmodule Sidewinder.CompatTest do
  @moduledoc "The shapes that users of Snakepit know."
  use ExUnit.Case, async: true

  alias Sidewinder.{Compat, Error, Testing}

  setup do
    name = :"compat_#{System.unique_integer([:positive])}"

    tools = %{
      "ping" => fn args -> Map.put(args, "pong", true) end,
      "count" => fn _ -> 1..3 end,
      "fail" => fn _ -> raise Testing.Raised, exception: "ValueError", message: "no", traceback: "Traceback" end
    }

    start_supervised!({Testing, name: name, tools: tools})
    %{name: name}
  end

  test "execute, in a session, and as a stream", %{name: name} do
    assert {:ok, %{"test" => true, "pong" => true}} = Compat.execute("ping", %{test: true}, pool: name)

    assert {:ok, %{}} =
             Compat.execute_in_session("user", "ping", %{}, pool: name, affinity: :strict_queue, timeout: 1_000)

    assert %{affinity: "user", affinity_mode: :AFFINITY_MODE_STRICT_QUEUE} = List.last(Testing.calls(name))
    assert {:ok, %{}} = Compat.execute_in_session("user", "ping", %{}, pool: name)
    assert %{affinity_mode: :AFFINITY_MODE_UNSPECIFIED} = List.last(Testing.calls(name))
    me = self()
    assert :ok = Compat.execute_stream("count", %{}, &send(me, {:item, &1}), pool: name)
    for number <- 1..3, do: assert_received({:item, ^number})

    assert :ok =
             Compat.execute_stream(
               "count",
               %{},
               fn number -> if(send(me, {:item, number}) == {:item, 2}, do: :halt) end,
               pool: name
             )

    refute_received {:item, 3}
    assert :ok = Compat.execute_in_session_stream("user", "count", %{}, fn _ -> :ok end, pool: name)
  end

  test "errors have Snakepit's categories and reasons", %{name: name} do
    assert {:error, %Compat.Error{category: :python_error} = error} = Compat.execute("fail", %{}, pool: name)
    assert %{message: "ValueError: no", python_traceback: "Traceback", details: %{exception_type: "ValueError"}} = error
    assert {:error, %Compat.Error{category: :validation}} = Compat.execute("nothing", %{}, pool: name)

    assert {:error, %Compat.Error{category: :python_error}} =
             Compat.execute_stream("fail", %{}, fn _ -> :ok end, pool: name)

    for {reason, ran, category, theirs} <- [
          {:queue_full, :no, :pool, :pool_saturated},
          {:deadline_passed, :no, :timeout, :queue_timeout},
          {:deadline_exceeded, :maybe, :timeout, :worker_timeout},
          {:affinity_busy, :no, :pool, :worker_busy},
          {:affinity_lost, :no, :pool, :session_worker_unavailable},
          {:unknown_pool, :no, :pool, :pool_not_found},
          {:worker_died, :maybe, :worker, :worker_exit},
          {:fatal, :no, :pool, :no_workers_available}
        ] do
      Testing.put_tool(name, "raises", fn _ -> raise %Error{reason: reason, ran: ran, signal: 9} end)
      assert {:error, %Compat.Error{category: ^category, details: details}} = Compat.execute("raises", %{}, pool: name)
      assert %{reason: ^theirs, exit_reason: {:signal, 9}, sidewinder: %Error{reason: ^reason}} = details
    end
  end

  test "what the callback raises is its own", %{name: name} do
    assert_raise RuntimeError, fn -> Compat.execute_stream("count", %{}, fn _ -> raise "mine" end, pool: name) end
  end
end
