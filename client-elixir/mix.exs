defmodule Sidewinder.MixProject do
  @moduledoc false
  # No dependency at all: `mix` never asks a registry for anything.
  use Mix.Project

  def project do
    [
      app: :sidewinder,
      version: "0.1.0",
      description: "Python next to a BEAM, and never a process left behind: the client of the Sidewinder daemon",
      package: package(),
      elixir: ">= 1.14.0",
      elixirc_paths: paths(Mix.env()),
      elixirc_options: [warnings_as_errors: true],
      start_permanent: Mix.env() == :prod,
      deps: []
    ]
  end

  def application, do: [extra_applications: [:logger, :crypto, :ssl, :public_key]]

  # What a release of this library holds.
  defp package, do: [licenses: ["Apache-2.0"], links: %{}, files: ~w(lib priv guides .formatter.exs mix.exs README.md)]

  defp paths(:test), do: ["lib", "test/support"]
  defp paths(_), do: ["lib"]
end
