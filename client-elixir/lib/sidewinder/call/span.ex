defmodule Sidewinder.Call.Span do
  @moduledoc "The beginning and the end of a call, as telemetry tells them, and the pauses between its tries."

  alias Sidewinder.{Error, Telemetry}
  alias Sidewinder.Call.Ask

  @type outcome :: {{:ok, term, term} | {:error, Error.t()}, non_neg_integer}

  @doc "An outcome with how often it was tried again before."
  @spec tried({:ok, term, term} | {:error, Error.t()}, non_neg_integer) :: outcome
  def tried(outcome, tries), do: {outcome, tries}

  @doc "Runs a call that has one answer, and tells its beginning and its end."
  @spec around(Ask.t(), (... -> outcome)) :: {:ok, term} | {:error, Error.t()}
  def around(ask, fun) do
    begun = start(ask)

    try do
      fun.()
    catch
      kind, reason ->
        raised = Ask.failure(ask, :cancelled, :cancelled, "the caller gave up: #{kind} #{inspect(reason, limit: 5)}")
        stop(ask, begun, {:error, raised}, 0, 0)
        :erlang.raise(kind, reason, __STACKTRACE__)
    else
      {{:ok, value, ran}, tries} ->
        stop(ask, begun, {:ok, ran}, tries, 1)
        {:ok, value}

      {{:error, error}, tries} ->
        stop(ask, begun, {:error, error}, tries, 0)
        {:error, error}
    end
  end

  @doc "A call begins."
  @spec start(Ask.t()) :: integer
  def start(ask) do
    Telemetry.emit(ask.client.sink, [:sidewinder, :call, :start], %{system_time: System.system_time()}, about(ask))
    System.monotonic_time()
  end

  @doc "A call ends."
  @spec stop(Ask.t(), integer, {:ok, term} | {:error, Error.t()}, non_neg_integer, non_neg_integer) :: :ok
  def stop(ask, begun, {:ok, ran}, tries, items) do
    ran = ran || %{worker: nil, waited: nil, took: nil}

    measured = %{
      duration: System.monotonic_time() - begun,
      waited_ms: milliseconds(ran.waited),
      took_ms: milliseconds(ran.took),
      items: items
    }

    shown = Map.merge(about(ask), %{worker: ran.worker, retries: tries})
    Telemetry.emit(ask.client.sink, [:sidewinder, :call, :stop], measured, shown)
  end

  def stop(ask, begun, {:error, error}, tries, items) do
    shown = %{reason: error.reason, ran: error.ran, error: error.message, worker: error.worker, retries: tries}
    measured = %{duration: System.monotonic_time() - begun, items: items}
    Telemetry.emit(ask.client.sink, [:sidewinder, :call, :exception], measured, Map.merge(about(ask), shown))
  end

  @doc "Waits for the next try."
  @spec pause(Ask.t(), Error.t(), :at_once | pos_integer, map) :: :ok
  def pause(ask, error, pause, tries) do
    pause = if pause == :at_once, do: 0, else: pause
    shown = Map.merge(about(ask), %{reason: error.reason, attempt: tries.tried})
    Telemetry.emit(ask.client.sink, [:sidewinder, :call, :retry], %{pause_ms: pause}, shown)
    if pause > 0, do: Process.sleep(pause)
    :ok
  end

  defp about(ask), do: %{kind: ask.kind, tool: ask.tool, pool: if(ask.call.pool != "", do: ask.call.pool)}

  defp milliseconds(nil), do: nil
  defp milliseconds(duration), do: duration.seconds * 1000 + duration.nanos / 1_000_000
end
