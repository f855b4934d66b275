defmodule Sidewinder.Asking do
  @moduledoc "The client's side of a test: a channel of its own, calls in tasks, and facts that are waited for."

  alias Sidewinder.Channel
  alias Sidewinder.Channel.Choice

  @path "/test.Service/Method"

  def path, do: @path

  @doc "A channel that ends with the test."
  def channel(addresses, opts \\ []) do
    name = :"channel#{System.unique_integer([:positive])}"
    ExUnit.Callbacks.start_supervised!({Channel, [name: name, endpoints: List.wrap(addresses)] ++ opts}, id: name)
    name
  end

  def ask(channel, message, opts \\ []), do: Task.async(fn -> Channel.unary(channel, @path, message, opts) end)

  def soon(milliseconds), do: System.monotonic_time(:millisecond) + milliseconds

  @doc "Waits until the clock says so."
  def wait_until(time) do
    case time - System.monotonic_time(:millisecond) do
      left when left > 0 -> receive(do: (:never -> :ok), after: (left -> :ok))
      _ -> :ok
    end
  end

  @doc "Waits for a fact, for five seconds at most."
  def eventually(fact, until \\ soon(5_000)) do
    cond do
      fact.() -> :ok
      System.monotonic_time(:millisecond) > until -> ExUnit.Assertions.flunk("it did not become true within 5 s")
      true -> receive(do: (:never -> :ok), after: (2 -> eventually(fact, until)))
    end
  end

  @doc "Calls that are counted on the connections of a channel."
  def load(channel), do: Enum.sum(for {_, load, _, _} <- elem(Choice.published(channel), 0), do: :counters.get(load, 1))

  @doc "The connections that callers may choose."
  def connections(channel), do: for({pid, _, _, _} <- elem(Choice.published(channel), 0), do: pid)

  @doc "The addresses that callers may choose."
  def addresses(channel), do: Enum.uniq(for {_, _, address, _} <- elem(Choice.published(channel), 0), do: address)
end
