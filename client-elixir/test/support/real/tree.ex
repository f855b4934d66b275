defmodule Sidewinder.Test.Tree do
  @moduledoc "Processes of this machine: who descends from whom, and whether they are still there."

  @doc "A process and all its descendants, each with its time of birth, so that a number that is used again is noticed."
  def below(pid) do
    children = Enum.group_by(all(), fn {_pid, parent, _born} -> parent end)
    walk([pid], children, %{}) |> Map.merge(Map.take(births(), [pid]))
  end

  @doc "The keepers that work in a folder, which name it in their command line, and all that is below them."
  def kept_in(folder) do
    keepers =
      for {pid, _, _} <- all(),
          {:ok, line} <- [File.read("/proc/#{pid}/cmdline")],
          line =~ "__keeper",
          line =~ folder,
          do: pid

    Enum.reduce(keepers, %{}, &Map.merge(&2, below(&1)))
  end

  defp walk([], _children, found), do: found

  defp walk([pid | rest], children, found) do
    own = for {child, _, born} <- Map.get(children, pid, []), into: %{}, do: {child, born}
    walk(Map.keys(own) ++ rest, children, Map.merge(found, own))
  end

  @doc "Those of a tree that still live."
  def left(tree) do
    now = births()
    for {pid, born} <- tree, now[pid] == born, do: pid
  end

  defp births, do: for({pid, _, born} <- all(), into: %{}, do: {pid, born})

  defp all do
    for entry <- File.ls!("/proc"), entry =~ ~r/^\d+$/, found = stat(entry), do: found
  end

  defp stat(entry) do
    with {:ok, text} <- File.read("/proc/#{entry}/stat"),
         [_, rest] <- Regex.run(~r/^.*\) (.*)$/s, text),
         [status, parent | _] = words when status not in ["Z", "X"] <- String.split(rest) do
      {String.to_integer(entry), String.to_integer(parent), Enum.at(words, 19)}
    else
      _ -> nil
    end
  end
end
