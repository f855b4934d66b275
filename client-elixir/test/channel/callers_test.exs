defmodule Sidewinder.Connection.CallersTest do
  @moduledoc "Who is watched, and for how long."
  use ExUnit.Case, async: true
  alias Sidewinder.Connection.Callers

  defp watched, do: self() |> Process.info(:monitors) |> elem(1) |> Keyword.get_values(:process) |> Enum.sort()

  defp somebody, do: spawn_link(fn -> Process.sleep(:infinity) end)

  test "who calls again and again is watched once, and its end tells its calls" do
    caller = somebody()
    [one, two, three] = for _ <- 1..3, do: make_ref()
    callers = %{} |> Callers.add(caller, one, 0) |> Callers.drop(caller, one)
    callers = callers |> Callers.add(caller, two, 0) |> Callers.add(caller, three, 1)
    assert watched() == [caller]
    Process.unlink(caller)
    Process.exit(caller, :kill)
    assert_receive {:caller, _, :process, ^caller, :killed}
    assert {refs, callers} = Callers.ended(callers, caller)
    assert Enum.sort(refs) == Enum.sort([two, three])
    assert callers == %{} and Callers.ended(callers, caller) == {[], %{}}
    assert Callers.drop(callers, caller, two) == %{}
  end

  test "those who rest are let go when they are the most, and nobody else is" do
    busy = for _ <- 1..10, do: {somebody(), make_ref()}
    callers = Enum.reduce(busy, %{}, fn {pid, ref}, callers -> Callers.add(callers, pid, ref, 10) end)

    callers =
      Enum.reduce(1..1_000, callers, fn _, callers ->
        {pid, ref} = {somebody(), make_ref()}
        callers = callers |> Callers.add(pid, ref, 10) |> Callers.drop(pid, ref)
        assert map_size(callers) <= 2 * 10 + 64
        callers
      end)

    assert watched() == callers |> Map.keys() |> Enum.sort()
    assert for({pid, _} <- busy, callers[pid] == nil, do: pid) == []
  end
end
