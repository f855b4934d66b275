defmodule Mix.Tasks.Sidewinder.Gen.Tools do
  @shortdoc "Writes a module with a function for each tool of a daemon"
  @moduledoc """
  Asks a running daemon for its tools, and writes a module with a documented function for each of them.

      mix sidewinder.gen.tools MyApp.Tools [--address ADDRESS] [--pool POOL] [--client NAME] [--output FILE] [--check]

  A tool `add(a, b=2)` becomes `MyApp.Tools.add(%{a: 1}, opts \\\\ [])`; a tool that streams becomes a function that gives an
  enumerable. With `--check` nothing is written, and the task fails when the file is stale. The client that the functions
  use is `Sidewinder`, or what `--client` says.
  """

  use Mix.Task

  alias Sidewinder.Tools

  @name Sidewinder.Tools.Client
  @switches [address: :string, pool: :string, client: :string, output: :string, check: :boolean]

  @impl true
  def run(args) do
    with {given, [module], []} <- OptionParser.parse(args, strict: @switches),
         true <- module =~ ~r/^[A-Z]\w*(\.[A-Z]\w*)*$/ do
      Mix.Task.run("compile")
      {:ok, _} = Application.ensure_all_started(:sidewinder)
      file = given[:output] || Path.join("lib", Macro.underscore(module) <> ".ex")
      text = given |> tools() |> Tools.source(module, given[:client] || "Sidewinder", given[:pool])
      if given[:check], do: check(file, text), else: write(file, text)
    else
      _ ->
        Mix.raise(
          "usage: mix sidewinder.gen.tools MODULE [--address ADDRESS] [--pool POOL] [--client NAME] [--output FILE] [--check]"
        )
    end
  end

  defp tools(given) do
    {:ok, _} = Sidewinder.start_link(name: @name, address: given[:address], lease: false)

    case Sidewinder.tools(@name, pools: List.wrap(given[:pool])) do
      {:ok, tools} -> tools
      {:error, error} -> Mix.raise("the daemon gives no tools: #{Exception.message(error)}")
    end
  after
    Sidewinder.stop(@name)
  end

  defp check(file, text) do
    if File.read(file) != {:ok, text}, do: Mix.raise("#{file} is stale: run this task without --check")
    Mix.shell().info("#{file} is fresh")
  end

  defp write(file, text) do
    File.mkdir_p!(Path.dirname(file))
    File.write!(file, text)
    Mix.shell().info("wrote #{file}")
  end
end
