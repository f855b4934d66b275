defmodule Sidewinder.Channel.Choice do
  @moduledoc """
  Which connection a caller takes: of those that are ready the one with the least calls outstanding, and any of them
  where several are alike.

  The caller chooses by itself, in a table that the channel publishes, so that no process stands in everybody's way. It
  counts itself in before it asks; the connection counts it out at the end of the call. Where there are several addresses,
  the fuse of each is asked; a single one is never held back, because there is nothing better to take.
  """

  alias Sidewinder.Channel.Breaker

  @type place :: {pid, :counters.counters_ref(), address :: term, Breaker.t() | nil}

  @type limits :: %{window: pos_integer, max_message: pos_integer}

  @doc "Makes the table of a channel."
  @spec table(atom) :: :ets.table()
  def table(name), do: :ets.new(name, [:named_table, :protected, read_concurrency: true])

  @doc "What may be chosen from now on, and what holds for calls there."
  @spec publish(:ets.table(), [place], limits) :: true
  def publish(table, places, limits), do: :ets.insert(table, {:places, places, limits})

  @doc "What may be chosen now."
  @spec published(atom) :: {[place], limits}
  def published(channel) do
    [{:places, places, limits}] = :ets.lookup(channel, :places)
    {places, limits}
  end

  @doc "Chooses, but none of those that have been tried, and counts the caller in."
  @spec take(atom, [pid]) :: {:ok, place, limits} | :none | :no_channel
  def take(channel, tried) do
    {places, limits} = published(channel)

    case choose(places, tried) do
      {_, load, _, _} = place ->
        :counters.add(load, 1, 1)
        {:ok, place, limits}

      nil ->
        :none
    end
  rescue
    ArgumentError -> :no_channel
  end

  defp choose([{pid, _, _, nil} = only], tried) when tried == [] or hd(tried) != pid, do: only

  defp choose(places, tried),
    do: least(for({pid, load, _, _} = place <- places, pid not in tried, do: {:counters.get(load, 1), place}))

  defp least([]), do: nil

  defp least(loaded) do
    {least, _} = Enum.min_by(loaded, &elem(&1, 0))
    {_, {_, _, _, breaker} = place} = chosen = loaded |> Enum.filter(&(elem(&1, 0) == least)) |> Enum.random()
    if breaker == nil or Breaker.allows?(breaker), do: place, else: least(List.delete(loaded, chosen))
  end
end
