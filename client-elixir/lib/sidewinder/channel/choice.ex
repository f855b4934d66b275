defmodule Sidewinder.Channel.Choice do
  @moduledoc """
  Which connection a caller takes: of those that are ready the one with the least calls outstanding, and any of them
  where several are alike.

  The caller chooses by itself, in a table that the channel publishes, so that no process stands in everybody's way. It
  counts itself in before it asks; the connection counts it out at the end of the call.
  """

  @type place :: {pid, :counters.counters_ref(), address :: term}

  @doc "Makes the table of a channel."
  @spec table(atom) :: :ets.table()
  def table(name), do: :ets.new(name, [:named_table, :protected, read_concurrency: true])

  @doc "What may be chosen from now on."
  @spec publish(:ets.table(), [place]) :: true
  def publish(table, places), do: :ets.insert(table, {:places, places})

  @doc "Chooses, but none of those that have been tried, and counts the caller in."
  @spec take(atom, [pid]) :: {:ok, place} | :none | :no_channel
  def take(channel, tried) do
    case :ets.lookup(channel, :places) do
      [{_, [{pid, load, _} = only]}] when tried == [] or hd(tried) != pid ->
        :counters.add(load, 1, 1)
        {:ok, only}

      [{_, places}] ->
        least(Enum.reject(places, fn {pid, _, _} -> pid in tried end))
    end
  rescue
    ArgumentError -> :no_channel
  end

  defp least([]), do: :none

  defp least(places) do
    loaded = Enum.map(places, fn {_, load, _} = place -> {:counters.get(load, 1), place} end)
    {least, _} = Enum.min_by(loaded, &elem(&1, 0))
    {_, {_, load, _} = place} = loaded |> Enum.filter(&(elem(&1, 0) == least)) |> Enum.random()
    :counters.add(load, 1, 1)
    {:ok, place}
  end
end
