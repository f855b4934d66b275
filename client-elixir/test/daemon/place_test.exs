defmodule Sidewinder.Daemon.PlaceTest do
  @moduledoc "Where the program of a daemon is looked for, in a BEAM with an environment and a `priv` of its own."
  use ExUnit.Case, async: true

  import Sidewinder.Test.RealDaemon, only: [folder: 0]

  @places ~w(option environment path priv)

  test "the option comes first, then the environment, the path and priv" do
    folder = folder()
    library = Path.join(folder, "sidewinder")
    File.mkdir_p!(Path.join(library, "priv"))
    File.cp_r!(Path.dirname(:code.which(Sidewinder)), Path.join(library, "ebin"))
    programs = for place <- @places, into: %{}, do: {place, program(folder, library, place)}

    for found <- @places do
      gone = Enum.take_while(@places, &(&1 != found))
      program = programs[found]
      assert look(library, programs, gone) == {:ok, program}
    end

    assert {:error, what} = look(library, programs, @places)
    for place <- ["the option binary", "SIDEWINDER_BIN", "the path", "priv"], do: assert(what =~ place)
  end

  defp program(folder, library, place) do
    file =
      if place == "priv", do: Path.join([library, "priv", "sidewinder"]), else: Path.join([folder, place, "sidewinder"])

    File.mkdir_p!(Path.dirname(file))
    File.write!(file, "#!/bin/sh\n")
    File.chmod!(file, 0o755)
    file
  end

  # The last one to be taken away stays away: places are asked for in their order.
  defp look(library, programs, gone) do
    if "priv" in gone, do: File.rm!(programs["priv"])
    option = if "option" in gone, do: nil, else: programs["option"]
    named = if "environment" in gone, do: "", else: programs["environment"]
    path = System.get_env("PATH") |> String.split(":") |> Enum.reject(&File.exists?(Path.join(&1, "sidewinder")))
    path = if "path" in gone, do: path, else: path ++ [Path.dirname(programs["path"])]
    shown = "IO.write(inspect(Sidewinder.Daemon.Place.binary(#{inspect(option)}), limit: :infinity))"
    env = [{"SIDEWINDER_BIN", named}, {"PATH", Enum.join(path, ":")}]
    {said, 0} = System.cmd("elixir", ["-pa", Path.join(library, "ebin"), "-e", shown], env: env)
    said |> Code.eval_string() |> elem(0)
  end
end
