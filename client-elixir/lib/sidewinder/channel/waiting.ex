defmodule Sidewinder.Channel.Waiting do
  @moduledoc """
  Callers that wait for a connection: bounded, told once, and forgotten when they give up or die.

  Some are patient: they wait although nothing can be connected to. The others are told as soon as that is so.
  """

  alias Sidewinder.Wire.Status

  defstruct [:max, callers: %{}, monitors: %{}]

  @type t :: %__MODULE__{}

  @spec new(non_neg_integer) :: t
  def new(max), do: %__MODULE__{max: max}

  @doc "One more, or one too many, which is told."
  @spec add(t, reference, pid, [pid], boolean) :: t
  def add(%{callers: callers, max: max} = waiting, ref, _, _, _) when map_size(callers) >= max do
    refuse(ref, Status.unsent(:resource_exhausted, "#{max} calls wait for a connection already (max_waiting)"))
    waiting
  end

  def add(waiting, ref, pid, tried, patient) do
    monitor = Process.monitor(pid)
    callers = Map.put(waiting.callers, ref, {tried, patient, monitor})
    %{waiting | callers: callers, monitors: Map.put(waiting.monitors, monitor, ref)}
  end

  @doc "This one gave up."
  @spec forget(t, reference) :: t
  def forget(waiting, ref) do
    case Map.pop(waiting.callers, ref) do
      {nil, _} ->
        waiting

      {{_, _, monitor}, callers} ->
        Process.demonitor(monitor, [:flush])
        %{waiting | callers: callers, monitors: Map.delete(waiting.monitors, monitor)}
    end
  end

  @doc "This one died."
  @spec died(t, reference) :: t
  def died(waiting, monitor), do: forget(waiting, Map.get(waiting.monitors, monitor))

  @doc "These connections are ready: whoever has not tried one of them may go."
  @spec serve(t, [pid]) :: t
  def serve(%{callers: callers} = waiting, _) when map_size(callers) == 0, do: waiting

  def serve(waiting, ready) do
    for {ref, {tried, _, _}} <- waiting.callers, Enum.any?(ready, &(&1 not in tried)), reduce: waiting do
      waiting ->
        go(ref)
        forget(waiting, ref)
    end
  end

  @doc "Everybody looks again."
  @spec stir(t) :: t
  def stir(waiting) do
    for {ref, _} <- waiting.callers, reduce: waiting do
      waiting ->
        go(ref)
        forget(waiting, ref)
    end
  end

  @doc "Nothing can be connected to: the impatient are told why."
  @spec disappoint(t, String.t()) :: t
  def disappoint(waiting, why) do
    for {ref, {_, false, _}} <- waiting.callers, reduce: waiting do
      waiting ->
        refuse(ref, Status.unsent(:unavailable, why, :transport))
        forget(waiting, ref)
    end
  end

  @doc "Something is ready."
  @spec go(reference) :: any
  def go(ref), do: send(ref, {ref, :ready})

  @doc "Nothing will be."
  @spec refuse(reference, Status.t()) :: any
  def refuse(ref, status), do: send(ref, {ref, {:error, status}})
end
