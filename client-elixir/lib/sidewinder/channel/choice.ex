defmodule Sidewinder.Channel.Choice do
  @moduledoc """
  Which connection a caller takes: of those that are ready the one with the least calls outstanding, and any of them
  where several are alike.

  The caller chooses by itself, in a table that the channel publishes, so that no process stands in everybody's way. It
  counts itself in before it asks; the connection counts it out at the end of the call. Where there are several addresses,
  the fuse of each is asked; a single one is never held back, because there is nothing better to take.

  A caller may need something that it has for some addresses only, such as a lease: `under` tells what it has for one, and
  an address for which it has nothing is not taken.
  """

  alias Sidewinder.Channel.Breaker

  @type place :: {pid, :counters.counters_ref(), address :: term, Breaker.t() | nil}

  @type limits :: %{window: pos_integer, max_message: pos_integer}

  @type under :: nil | (address :: term -> {:ok, term} | :none)

  @doc "Makes the table of a channel."
  @spec table(atom) :: :ets.table()
  def table(name), do: :ets.new(name, [:named_table, :protected, read_concurrency: true])

  @doc "What may be chosen from now on, and what holds for calls there."
  @spec publish(:ets.table(), [place], limits) :: true
  def publish(table, places, limits), do: :ets.insert(table, {:places, places, limits})

  @doc "Why nothing may be chosen now, as far as it is known."
  @spec explain(:ets.table(), String.t()) :: true
  def explain(table, why), do: :ets.insert(table, {:why, why})

  @doc "Why nothing may be chosen; empty: nobody has said so."
  @spec why(atom) :: String.t()
  def why(channel) do
    case :ets.lookup(channel, :why) do
      [{:why, why}] -> why
      [] -> ""
    end
  rescue
    ArgumentError -> ""
  end

  @doc "What may be chosen now."
  @spec published(atom) :: {[place], limits}
  def published(channel) do
    [{:places, places, limits}] = :ets.lookup(channel, :places)
    {places, limits}
  end

  @doc "Chooses, but none of those that have been tried, and counts the caller in. With what it has for that address."
  @spec take(atom, [pid], under) :: {:ok, place, limits, term} | :none | :no_channel
  def take(channel, tried, under \\ nil) do
    {places, limits} = published(channel)

    case choose(places, tried, under) do
      {{_, load, _, _} = place, has} ->
        :counters.add(load, 1, 1)
        {:ok, place, limits, has}

      nil ->
        :none
    end
  rescue
    ArgumentError -> :no_channel
  end

  defp choose([{pid, _, _, nil} = only], tried, nil) when tried == [] or hd(tried) != pid, do: {only, nil}

  defp choose(places, tried, under) do
    least(
      for {pid, load, address, _} = place <- places, pid not in tried, {:ok, has} <- [has(under, address)] do
        {:counters.get(load, 1), {place, has}}
      end
    )
  end

  defp has(nil, _), do: {:ok, nil}
  defp has(under, address), do: under.(address)

  @doc "The connections to addresses for which a caller has nothing."
  @spec closed_to(atom, under) :: [pid]
  def closed_to(_, nil), do: []

  def closed_to(channel, under),
    do: for({pid, _, address, _} <- elem(published(channel), 0), under.(address) == :none, do: pid)

  defp least([]), do: nil

  defp least(loaded) do
    {least, _} = Enum.min_by(loaded, &elem(&1, 0))
    {_, {{_, _, _, breaker}, _} = place} = chosen = loaded |> Enum.filter(&(elem(&1, 0) == least)) |> Enum.random()
    if breaker == nil or Breaker.allows?(breaker), do: place, else: least(List.delete(loaded, chosen))
  end
end
