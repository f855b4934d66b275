defmodule Sidewinder.TelemetryTest do
  @moduledoc "Every event that is documented is emitted, with the measurements and metadata that are documented."
  use ExUnit.Case, async: true

  import Sidewinder.Test.RealDaemon, only: [eventually: 1]

  alias Sidewinder.{Daemon, Error, Telemetry, Testing}
  alias Sidewinder.Telemetry.Events

  test "all of them" do
    me = self()
    handler = fn event, measured, shown -> send(me, {:emitted, event, measured, shown}) end
    name = :"telemetry_#{System.unique_integer([:positive])}"

    tools = %{
      "add" => fn %{"a" => a} -> a + 1 end,
      "full" => fn _ -> raise %Error{reason: :queue_full, ran: :no, retry_after: 10} end
    }

    start_supervised!({Testing, name: name, tools: tools, interval_ms: 40, ttl_ms: 200, handler: handler})
    assert {:ok, 2} = Sidewinder.call(name, "add", %{a: 1})
    assert {:error, _} = Sidewinder.call(name, "full", %{}, retries: 1)
    :ok = Sidewinder.cast(name, "full", %{}, retries: 0)
    Testing.event(name, :worker_started, worker: "0.1", pool: "default")
    Testing.event(name, :worker_gone, worker: "0.1", pool: "default")
    eventually(fn -> match?([_, _, _ | _], Testing.said(name)) end)
    Testing.silence(name)
    seen([:sidewinder, :lease, :lost])
    Testing.silence(name, false)
    Testing.refuse_attach(name, %Error{reason: :too_many_clients, ran: :no, message: "full"})
    Testing.disconnect(name)
    seen([:sidewinder, :lease, :refused])
    Testing.refuse_attach(name, nil)
    detached(tools, handler)
    a_daemon(name, handler)

    emitted = gather(%{})

    for %{name: event} = documented <- Events.all() do
      assert %{^event => {measured, shown}} = emitted, "#{inspect(event)} is documented and never emitted"
      assert Enum.sort(Map.keys(measured)) -- Enum.sort(documented.measurements) == [], inspect(event)
      assert Enum.sort(documented.measurements) -- Enum.sort(Map.keys(measured)) == [], inspect(event)
      assert Enum.sort(Map.keys(shown)) == Enum.sort([:client | documented.metadata]), inspect(event)
    end

    assert Map.keys(emitted) -- Telemetry.events() == [], "an event is emitted and not documented"
    {:docs_v1, _, _, _, %{"en" => docs}, _, _} = Code.fetch_docs(Telemetry)
    for event <- Telemetry.events(), do: assert(docs =~ inspect(event))
  end

  defp detached(tools, handler) do
    name = :"detached_#{System.unique_integer([:positive])}"
    {:ok, _} = Testing.start_link(name: name, tools: tools, handler: handler)
    {:ok, 2} = Sidewinder.call(name, "add", %{a: 1})
    :ok = Sidewinder.stop(name)
  end

  # A program that ends by itself, in the place of a daemon.
  defp a_daemon(name, handler) do
    client = %{Sidewinder.Client.fetch!(name) | name: :"#{name}_ended", sink: Telemetry.sink(name, handler)}
    daemon = %{binary: "/bin/sh", args: ["-c", "exit 3"], socket: "/tmp/none.sock", cd: nil, env: %{}}
    start_supervised!({Daemon, %{client | mode: %{client.mode | daemon: daemon}}})
    seen([:sidewinder, :daemon, :exited])
  end

  defp seen(event) do
    assert_receive {:emitted, ^event, _, _} = emitted
    send(self(), emitted)
  end

  defp gather(found) do
    receive do
      {:emitted, event, measured, shown} -> gather(Map.put_new(found, event, {measured, shown}))
    after
      100 -> found
    end
  end

  test "a handler that raises is its own trouble" do
    name = :"raising_#{System.unique_integer([:positive])}"
    handler = fn _, _, _ -> raise "no" end
    start_supervised!({Testing, name: name, tools: %{"one" => fn _ -> 1 end}, handler: handler})
    assert {:ok, 1} = Sidewinder.call(name, "one", %{})
  end
end
