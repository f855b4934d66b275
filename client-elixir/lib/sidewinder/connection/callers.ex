defmodule Sidewinder.Connection.Callers do
  @moduledoc """
  Who calls over a connection, and which calls are whose. Each caller is watched, because its end is a cancellation.

  Watching somebody and leaving off costs as much as a fifth of a call, on both sides: the watched process is woken for it.
  Who has called once most often calls again, so it is watched on between its calls. Those who have no call are let go when
  they are the most.
  """

  # Callers without a call that are watched on, however few calls there are.
  @resting 64

  @type t :: %{pid => {reference, %{reference => []}}}

  @doc "One call more of somebody, where there are so many already."
  @spec add(t, pid, reference, non_neg_integer) :: t
  def add(callers, pid, ref, calls) do
    case callers do
      %{^pid => {monitor, refs}} -> %{callers | pid => {monitor, Map.put(refs, ref, [])}}
      _ -> callers |> rest(calls) |> Map.put(pid, {:erlang.monitor(:process, pid, tag: :caller), %{ref => []}})
    end
  end

  defp rest(callers, calls) when map_size(callers) < 2 * calls + @resting, do: callers

  defp rest(callers, _) do
    {resting, busy} = Enum.split_with(callers, fn {_, {_, refs}} -> refs == %{} end)
    for {_, {monitor, _}} <- resting, do: Process.demonitor(monitor, [:flush])
    Map.new(busy)
  end

  @doc "A call is over."
  @spec drop(t, pid, reference) :: t
  def drop(callers, pid, ref) do
    case callers do
      %{^pid => {monitor, refs}} -> %{callers | pid => {monitor, Map.delete(refs, ref)}}
      _ -> callers
    end
  end

  @doc "A caller has ended, and these were its calls."
  @spec ended(t, pid) :: {[reference], t}
  def ended(callers, pid) do
    case Map.pop(callers, pid) do
      {nil, callers} -> {[], callers}
      {{_, refs}, callers} -> {Map.keys(refs), callers}
    end
  end
end
