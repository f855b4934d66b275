defmodule Sidewinder.Telemetry.Events do
  @moduledoc "Every event that is emitted, as a table: the documentation is made from it, and a test emits each."

  @type event :: %{name: [atom], when: String.t(), measurements: [atom], metadata: [atom]}

  @call [:kind, :tool, :pool]

  @all [
    {[:sidewinder, :call, :start], "A call, a stream, an upload or a conversation begins.", [:system_time], @call},
    {[:sidewinder, :call, :stop], "It has an answer.", [:duration, :waited_ms, :took_ms, :items],
     @call ++ [:worker, :retries]},
    {[:sidewinder, :call, :exception], "It has none.", [:duration, :items],
     @call ++ [:reason, :ran, :error, :worker, :retries]},
    {[:sidewinder, :call, :retry], "A refused call will be tried again.", [:pause_ms], @call ++ [:reason, :attempt]},
    {[:sidewinder, :cast, :failed], "A cast had no answer, and nobody else would be told.", [:count],
     [:tool, :pool, :reason, :error]},
    {[:sidewinder, :lease, :attached], "A lease was granted.", [:duration_ms],
     [:lease, :epoch, :mode, :daemon_run, :daemon_changed, :resumed]},
    {[:sidewinder, :lease, :lost], "The stream of the lease broke, or the lease ended. It is attached again.", [:count],
     [:lease, :epoch, :reason, :error]},
    {[:sidewinder, :lease, :refused], "The daemon did not grant a lease.", [:retry_in_ms], [:reason, :error]},
    {[:sidewinder, :lease, :detached], "The lease was given back.", [:count], [:lease, :epoch, :why]},
    {[:sidewinder, :beat, :sent], "We said that we live.", [:sequence, :load], [:lease]},
    {[:sidewinder, :beat, :received], "The daemon lives.", [:sequence, :round_trip_us], [:lease]},
    {[:sidewinder, :beat, :missed], "Nothing was heard of the daemon for longer than agreed.", [:silent_ms], [:lease]},
    {[:sidewinder, :event, :received], "The daemon told what happened.", [:sequence, :lost],
     [:what, :pool, :worker, :text, :facts]},
    {[:sidewinder, :pool, :standing], "How a pool is, after it changed.", [:ready, :waiting, :running],
     [:pool, :phase, :saturated]},
    {[:sidewinder, :daemon, :started], "A daemon of our own was started.", [:count], [:os_pid, :binary]},
    {[:sidewinder, :daemon, :exited], "A daemon of our own ended.", [:status, :restart_in_ms], [:os_pid]},
    {[:snakepit, :worker, :heartbeat, :sent], "As `[:sidewinder, :beat, :sent]`.", [:count], [:worker_id]},
    {[:snakepit, :worker, :heartbeat, :received], "As `[:sidewinder, :beat, :received]`.", [:latency_ms], [:worker_id]},
    {[:snakepit, :worker, :heartbeat, :timeout], "As `[:sidewinder, :beat, :missed]`.", [:time_since_heartbeat_ms],
     [:worker_id]},
    {[:snakepit, :worker, :process, :started], "A worker was spawned.", [:count], [:worker_id, :pool]},
    {[:snakepit, :worker, :process, :terminated], "A worker is gone.", [:count], [:worker_id, :pool, :reason]},
    {[:snakepit, :worker, :cleanup, :completed], "Everything that a worker had started is gone.", [:count],
     [:worker_id, :pool]}
  ]

  @doc "The table."
  @spec all() :: [event]
  def all do
    for {name, told, measurements, metadata} <- @all,
        do: %{name: name, when: told, measurements: measurements, metadata: metadata}
  end

  @doc "One event as a paragraph of documentation."
  @spec line(event) :: String.t()
  def line(event) do
    "  * `#{inspect(event.name)}` - #{event.when} Measurements: #{names(event.measurements)}. " <>
      "Metadata: #{names(event.metadata)}."
  end

  defp names(names), do: Enum.map_join(names, ", ", &"`#{&1}`")
end
