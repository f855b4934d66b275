defmodule Sidewinder.Channel.Backoff do
  @moduledoc """
  How long to rest after failures: nothing after none, then doubling from `min` to `max` milliseconds, each pause somewhere
  in its upper half by chance, so that many who failed together do not come back together.
  """

  @type bounds :: [min: pos_integer, max: pos_integer]

  @spec pause(non_neg_integer, bounds) :: non_neg_integer
  def pause(0, _), do: 0

  def pause(failures, bounds) do
    longest = min(bounds[:max], bounds[:min] * Integer.pow(2, min(failures - 1, 30)))
    longest - div(longest, 2) + :rand.uniform(div(longest, 2) + 1) - 1
  end
end
