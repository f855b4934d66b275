defmodule Sidewinder.PackageTest do
  @moduledoc "What whoever takes the library takes with it."
  use ExUnit.Case, async: true

  @theirs [:kernel, :stdlib, :elixir, :logger, :crypto, :ssl, :public_key]

  test "it needs nothing but Elixir and OTP: no dependency, no NIF, no driver" do
    project = Mix.Project.config()
    assert project[:deps] == []
    assert Version.match?("1.14.0", project[:elixir]) and not Version.match?("1.13.4", project[:elixir])
    assert Application.spec(:sidewinder, :applications) -- @theirs == []

    for module <- Application.spec(:sidewinder, :modules) do
      {:ok, {_, [imports: called]}} = module |> :code.which() |> :beam_lib.chunks([:imports])
      loaders = for {from, name, _} <- called, from == :erl_ddll or {from, name} == {:erlang, :load_nif}, do: name
      assert loaders == [], inspect(module)
    end
  end
end
