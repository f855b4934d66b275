defmodule Sidewinder.DocumentsTest do
  @moduledoc "Examples in the documentation are run."
  use ExUnit.Case, async: true

  doctest Sidewinder.Options
  doctest Sidewinder.Options.Address
  doctest Sidewinder.Error
  doctest Sidewinder.Value
  doctest Sidewinder.Value.MessagePack
  doctest Sidewinder.Call.Again
  doctest Sidewinder.Proto
end
