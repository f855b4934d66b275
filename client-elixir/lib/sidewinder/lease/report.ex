defmodule Sidewinder.Lease.Report do
  @moduledoc """
  What is told of what happened to a lease: telemetry, the log, and an event for listeners, if it is one for them. It runs
  in `Sidewinder.Lease.Bell`.

  Listeners hear maps. `:what` is an atom that is written in the contract, or here (`:attached`, `:lost`, `:standing`);
  something that only a newer daemon has a word for is `:unspecified`, and its `:text` says it.
  """

  require Logger

  alias Sidewinder.{Client, Error, Telemetry}
  alias Sidewinder.Proto.{Event, Standing}

  @happenings for {word, _} <- Sidewinder.Proto.words("sidewinder.v1.Happening"),
                  into: %{},
                  do:
                    {word,
                     word
                     |> Atom.to_string()
                     |> String.replace_prefix("HAPPENING_", "")
                     |> String.downcase()
                     |> String.to_atom()}

  @phases for {word, _} <- Sidewinder.Proto.words("sidewinder.v1.Phase"),
              into: %{},
              do:
                {word,
                 word
                 |> Atom.to_string()
                 |> String.replace_prefix("PHASE_", "")
                 |> String.downcase()
                 |> String.to_atom()}

  @doc "Tells it, and gives back what listeners hear."
  @spec happened(Client.t(), tuple) :: nil | map
  def happened(%{at: nil} = client, happening), do: told(client, happening)

  # Of several daemons it is said which one.
  def happened(client, happening) do
    with %{} = event <- told(client, happening), do: Map.put(event, :daemon, client.sink.daemon)
  end

  defp told(client, {:granted, told}) do
    shown = Map.take(told, [:lease, :epoch, :mode, :daemon_run, :daemon_changed, :resumed])

    :ok =
      Client.note(
        client,
        Client.key(client, :lease_info),
        Map.merge(shown, %{attached: true, interval: told.interval, ttl: told.ttl})
      )

    Logger.debug("sidewinder: #{inspect(client.name)} holds lease #{told.lease}, epoch #{told.epoch}")
    Telemetry.emit(client.sink, [:sidewinder, :lease, :attached], %{duration_ms: told.duration_ms}, shown)
    Map.put(shown, :what, :attached)
  end

  defp told(client, {:lost, {lease, epoch}, why}) do
    note_detached(client)
    shown = %{lease: lease, epoch: epoch, reason: reason(why), error: sentence(why)}
    Logger.warning("sidewinder: #{inspect(client.name)} lost the daemon: #{shown.error}")
    Telemetry.emit(client.sink, [:sidewinder, :lease, :lost], %{count: 1}, shown)
    Map.put(shown, :what, :lost)
  end

  defp told(client, {:refused, why, pause}) do
    shown = %{reason: reason(why), error: sentence(why)}
    level = if match?(%Error{code: :unavailable}, why), do: :debug, else: :warning
    Logger.log(level, "sidewinder: #{inspect(client.name)} has no lease: #{shown.error}")
    Telemetry.emit(client.sink, [:sidewinder, :lease, :refused], %{retry_in_ms: pause}, shown)
    nil
  end

  defp told(client, :unsupported) do
    Logger.info("sidewinder: #{inspect(client.name)} meets a daemon without leases, and calls without one")
    nil
  end

  defp told(client, {:detached, {lease, epoch}, why}) do
    note_detached(client)
    shown = %{lease: lease, epoch: epoch, why: why}
    Telemetry.emit(client.sink, [:sidewinder, :lease, :detached], %{count: 1}, shown)
    nil
  end

  defp told(client, {:beat_sent, lease, beat}) do
    Telemetry.emit(client.sink, [:sidewinder, :beat, :sent], beat, %{lease: lease})
    Telemetry.emit(client.sink, [:snakepit, :worker, :heartbeat, :sent], %{count: 1}, %{worker_id: lease})
    nil
  end

  defp told(client, {:heard, lease, beat}) do
    if beat.round_trip_us, do: Client.note(client, Client.key(client, :round_trip_us), beat.round_trip_us)
    Telemetry.emit(client.sink, [:sidewinder, :beat, :received], beat, %{lease: lease})
    measured = %{latency_ms: beat.round_trip_us && beat.round_trip_us / 1000}
    Telemetry.emit(client.sink, [:snakepit, :worker, :heartbeat, :received], measured, %{worker_id: lease})
    nil
  end

  defp told(client, {:missed, lease, silent}) do
    Telemetry.emit(client.sink, [:sidewinder, :beat, :missed], %{silent_ms: silent}, %{lease: lease})
    measured = %{time_since_heartbeat_ms: silent}
    Telemetry.emit(client.sink, [:snakepit, :worker, :heartbeat, :timeout], measured, %{worker_id: lease})
    nil
  end

  defp told(client, {:event, %Event{} = event}) do
    shown = event(event)
    measured = %{sequence: event.sequence, lost: event.lost}
    Telemetry.emit(client.sink, [:sidewinder, :event, :received], measured, Map.drop(shown, [:sequence, :lost, :at]))
    as_snakepit(client, shown)
    shown
  end

  defp told(client, {:standing, %Standing{} = standing}) do
    pools = for pool <- standing.pools, do: pool(pool)

    :ok =
      Client.note(client, Client.key(client, :standing), %{
        mode: standing.mode,
        stopping: standing.stopping,
        pools: pools
      })

    for pool <- pools do
      {measured, shown} = Map.split(pool, [:ready, :waiting, :running])
      shown = %{pool: shown.name, phase: shown.phase, saturated: shown.saturated}
      Telemetry.emit(client.sink, [:sidewinder, :pool, :standing], measured, shown)
    end

    %{what: :standing, stopping: standing.stopping, pools: pools}
  end

  defp note_detached(client) do
    with {:ok, info} <- Client.lookup(client.name, Client.key(client, :lease_info)),
         do: Client.note(client, Client.key(client, :lease_info), %{info | attached: false})
  end

  @doc "An event as listeners hear it."
  @spec event(Event.t()) :: map
  def event(event) do
    %{
      what: Map.get(@happenings, event.what, :unspecified),
      pool: nonempty(event.pool),
      worker: nonempty(event.worker),
      text: event.text,
      facts: event.facts,
      sequence: event.sequence,
      lost: event.lost,
      at: moment(event.at)
    }
  end

  @doc "A moment of the contract; `nil` if there is none, or none that a calendar has."
  @spec moment(nil | struct) :: nil | DateTime.t()
  def moment(nil), do: nil

  def moment(at) do
    case DateTime.from_unix(at.seconds * 1_000_000 + div(at.nanos, 1000), :microsecond) do
      {:ok, moment} -> moment
      {:error, _} -> nil
    end
  end

  @doc "The phase of a pool as an atom that is written in the contract."
  @spec phase(atom | integer) :: atom
  def phase(word), do: Map.get(@phases, word, :unspecified)

  defp pool(pool) do
    pool
    |> Map.take([:name, :ready, :waiting, :running, :saturated, :generation])
    |> Map.put(:phase, phase(pool.phase))
  end

  defp as_snakepit(client, %{what: :worker_started} = event),
    do: Telemetry.emit(client.sink, [:snakepit, :worker, :process, :started], %{count: 1}, in_pool(event))

  defp as_snakepit(client, %{what: :worker_gone} = event) do
    ended = Map.put(in_pool(event), :reason, event.text)
    Telemetry.emit(client.sink, [:snakepit, :worker, :process, :terminated], %{count: 1}, ended)
    Telemetry.emit(client.sink, [:snakepit, :worker, :cleanup, :completed], %{count: 1}, in_pool(event))
  end

  defp as_snakepit(_client, _event), do: :ok

  defp in_pool(event), do: %{worker_id: event.worker, pool: event.pool}
  defp nonempty(""), do: nil
  defp nonempty(text), do: text

  defp reason(%Error{reason: reason}), do: reason
  defp reason({kind, _}) when is_atom(kind), do: kind
  defp reason(other) when is_atom(other), do: other

  defp sentence(%Error{} = error), do: Exception.message(error)
  defp sentence({:silent, ms}), do: "nothing was heard for #{ms} ms"
  defp sentence({:garbled, what}), do: "it said something that is no message: #{what}"
  defp sentence({:crashed, reason}), do: "the line crashed: #{inspect(reason, limit: 10)}"
  defp sentence(:ended), do: "it has ended the stream"
  defp sentence(:refused), do: "it refused a call by that lease"
end
