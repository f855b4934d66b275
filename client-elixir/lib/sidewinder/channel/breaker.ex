defmodule Sidewinder.Channel.Breaker do
  @moduledoc """
  A fuse for an address whose calls fail although it can be connected to.

      closed ──failures in a row──▶ open ──cooldown──▶ trying ──one call: good──▶ closed
                                     ▲                    └───────────bad────────┘

  What counts is what the transport lost: a connection that broke under a call, a stream that was reset. A status that the
  server gave is an answer, and whoever answers is there. Callers change the state by themselves, in one word of shared
  memory; the channel is told of an opening only because it has the clock.
  """

  # Places of the word: failures in a row, state.
  @failures 1
  @state 2

  @closed 0
  @open 1
  @trying 2
  @tried 3

  @type t :: {:atomics.atomics_ref(), threshold :: non_neg_integer}

  @doc "Closed. It opens after so many failures in a row; 0 for never."
  @spec new(non_neg_integer) :: t
  def new(threshold), do: {:atomics.new(2, signed: true), threshold}

  @doc "Whether a call may go this way. Of an address that is tried again the first one to ask may, and nobody else."
  @spec allows?(t) :: boolean
  def allows?({word, _}) do
    case :atomics.get(word, @state) do
      @closed -> true
      @trying -> :atomics.compare_exchange(word, @state, @trying, @tried) == :ok
      _ -> false
    end
  end

  @doc "Whether a call could go this way, if it asked."
  @spec passable?(t) :: boolean
  def passable?({word, _}), do: :atomics.get(word, @state) in [@closed, @trying]

  @doc "A call was answered. `:closed` is for the one that was let through to try."
  @spec good(t) :: :ok | :closed
  def good({word, _}) do
    if :atomics.get(word, @failures) != 0, do: :atomics.put(word, @failures, 0)
    if :atomics.compare_exchange(word, @state, @tried, @closed) == :ok, do: :closed, else: :ok
  end

  @doc "A call was lost. `:opened` is for one caller only: the one whose failure did it."
  @spec bad(t) :: :ok | :opened
  def bad({_, 0}), do: :ok

  def bad({word, threshold}) do
    failures = :atomics.add_get(word, @failures, 1)

    case :atomics.get(word, @state) do
      @tried -> opened(word, @tried)
      @closed when failures >= threshold -> opened(word, @closed)
      _ -> :ok
    end
  end

  defp opened(word, from) do
    if :atomics.compare_exchange(word, @state, from, @open) == :ok, do: :opened, else: :ok
  end

  @doc """
  The cooldown is over: one call may try. A call that was let through and never came back is forgotten here, too.
  """
  @spec try_again(t) :: :ok
  def try_again({word, _}) do
    if :atomics.get(word, @state) != @closed, do: :atomics.put(word, @state, @trying)
    :ok
  end

  @doc "The state, for people and tests."
  @spec state(t) :: :closed | :open | :trying
  def state({word, _}) do
    case :atomics.get(word, @state) do
      @closed -> :closed
      @open -> :open
      _ -> :trying
    end
  end
end
