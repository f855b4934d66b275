defmodule Sidewinder.Chance do
  @moduledoc """
  Random tests that can be repeated: each run is seeded, and a failure says with what. `SEED=…` tries that one again.
  """

  @doc "Runs the test so many times, or once with the seed that the environment names."
  @spec many(String.t(), pos_integer, fun) :: :ok
  def many(what, count, test) do
    case System.get_env("SEED") do
      nil ->
        first = :erlang.unique_integer([:positive]) * 1_000_003 + System.os_time(:microsecond)
        Enum.each(1..count, &once(what, first + &1, test))

      seed ->
        once(what, String.to_integer(seed), test)
    end
  end

  defp once(what, seed, test) do
    :rand.seed(:exsss, seed)
    test.()
  rescue
    error ->
      IO.puts("\n#{what}: failed with SEED=#{seed}")
      reraise error, __STACKTRACE__
  catch
    kind, reason ->
      IO.puts("\n#{what}: failed with SEED=#{seed}")
      :erlang.raise(kind, reason, __STACKTRACE__)
  end
end
