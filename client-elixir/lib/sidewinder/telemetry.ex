defmodule Sidewinder.Telemetry do
  @moduledoc """
  What happens, told to whoever measures.

  Every event goes to `:telemetry` when that library is present, and to the `handler:` of the client when it has one. Both
  may be there. A handler that raises is the handler's trouble: it is logged once in a minute at most, and the call goes on.

  Durations are in native time units, as `:telemetry` has them, unless a name ends in `_ms`. `items` counts what came, also
  what nobody looked at any more. All metadata have `client`, the name of the client. Where there are several daemons, those
  of leases, beats, events and pools have `daemon` as well, its address.

  #{Enum.map_join(Sidewinder.Telemetry.Events.all(), "\n\n  ", &Sidewinder.Telemetry.Events.line/1)}

  The events that begin with `:snakepit` have the names that dashboards of Snakepit know. Heartbeats are between this BEAM
  and the daemon there, not between a BEAM and each worker.
  """

  require Logger

  alias Sidewinder.Telemetry.Events

  @type handler :: nil | ([atom], map, map -> any)
  @type sink :: %{
          required(:client) => atom,
          required(:telemetry?) => boolean,
          required(:handler) => handler,
          optional(:daemon) => String.t()
        }

  @doc "Every event that is ever emitted."
  @spec events() :: [[atom]]
  def events, do: Enum.map(Events.all(), & &1.name)

  @doc "Where the events of a client go."
  @spec sink(atom, handler) :: sink
  def sink(client, handler) do
    %{client: client, handler: handler, telemetry?: Code.ensure_loaded?(:telemetry)}
  end

  @doc "The sink for what belongs to one of several daemons."
  @spec at(sink, String.t()) :: sink
  def at(sink, daemon), do: Map.put(sink, :daemon, daemon)

  @doc "Tells one event."
  @spec emit(sink, [atom], map, map) :: :ok
  # Nobody is there to hear it.
  def emit(%{telemetry?: false, handler: nil}, _event, _measurements, _metadata), do: :ok

  def emit(sink, event, measurements, metadata) do
    metadata = Map.merge(metadata, Map.take(sink, [:client, :daemon]))
    if sink.telemetry?, do: apply(:telemetry, :execute, [event, measurements, metadata])
    if sink.handler, do: handle(sink.handler, event, measurements, metadata)
    :ok
  end

  defp handle(handler, event, measurements, metadata) do
    handler.(event, measurements, metadata)
  rescue
    error -> complain(Exception.message(error))
  catch
    kind, what -> complain("#{kind} #{inspect(what, limit: 5)}")
  end

  @quiet_ms 60_000
  @key {__MODULE__, :complained}

  defp complain(what) do
    now = System.monotonic_time(:millisecond)
    last = :persistent_term.get(@key, now - @quiet_ms)

    if now - last >= @quiet_ms do
      :persistent_term.put(@key, now)
      Logger.warning("sidewinder: the handler of telemetry events failed: #{what}")
    end
  end
end
