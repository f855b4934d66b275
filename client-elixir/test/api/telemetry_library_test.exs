defmodule Sidewinder.Telemetry.LibraryTest do
  @moduledoc "The library :telemetry, with a module in its place. Alone, because that module is there for everybody."
  use ExUnit.Case, async: false

  alias Sidewinder.Telemetry

  test "the library :telemetry is told when it is there" do
    Process.register(self(), :telemetry_listener)

    Module.create(
      :telemetry,
      quote do
        @moduledoc "Stands where the library would."
        def execute(event, measured, shown) do
          if shown.client == :by_library, do: send(:telemetry_listener, {event, measured, shown})
          :ok
        end
      end,
      Macro.Env.location(__ENV__)
    )

    Telemetry.emit(Telemetry.sink(:by_library, nil), [:sidewinder, :call, :start], %{system_time: 1}, %{tool: "add"})
    assert_received {[:sidewinder, :call, :start], %{system_time: 1}, %{tool: "add", client: :by_library}}
  after
    :code.purge(:telemetry)
    :code.delete(:telemetry)
  end
end
