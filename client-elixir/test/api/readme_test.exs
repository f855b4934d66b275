defmodule Sidewinder.ReadmeTest do
  @moduledoc "Every block of Elixir in the README and the guides runs, from top to bottom, against the real daemon."
  use ExUnit.Case, async: false

  alias Sidewinder.Test.RealDaemon

  @room Path.expand("../..", __DIR__)

  setup do
    folder = RealDaemon.folder()
    [shop] = blocks("README.md", "python")
    File.write!(Path.join(folder, "shop.py"), shop)
    daemon = RealDaemon.start_at(folder, Path.join(folder, "s.sock"), ["--tools", "shop"], directory: folder)
    on_exit(fn -> RealDaemon.kill(daemon) end)
    RealDaemon.client(daemon, name: Sidewinder)
    :ok
  end

  for file <- ["README.md", "guides/from-snakepit.md"] do
    test "#{file}" do
      found = blocks(unquote(file), "elixir")
      assert found != []

      Enum.reduce(found, [], fn block, bindings ->
        block |> Code.eval_string(bindings, file: unquote(file)) |> elem(1)
      end)
    end
  end

  test "every mode that is documented is one" do
    for file <- ["README.md", "guides/from-snakepit.md"], mode <- ~w(coupled supervised independent distributed auto) do
      assert File.read!(Path.join(@room, file)) =~ ":#{mode}"
    end
  end

  defp blocks(file, language) do
    text = File.read!(Path.join(@room, file))
    for [_, block] <- Regex.scan(~r/^```#{language}\n(.*?)^```$/ms, text), do: block
  end
end
