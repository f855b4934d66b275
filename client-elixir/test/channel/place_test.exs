defmodule Sidewinder.PlaceTest do
  @moduledoc "Where the daemon is looked for when nobody names it. The environment is everybody's: alone."
  use ExUnit.Case, async: false
  alias Sidewinder.Options.Address

  @variables ["SIDEWINDER_LISTEN_SOCKET", "SIDEWINDER_RUNTIME_DIR"]

  setup do
    before = Map.new(@variables, &{&1, System.get_env(&1)})
    folder = Path.join(System.tmp_dir!(), "sidewinder-place-#{System.pid()}")
    File.mkdir_p!(folder)

    on_exit(fn ->
      File.rm_rf!(folder)

      Enum.each(before, fn {name, value} -> if value, do: System.put_env(name, value), else: System.delete_env(name) end)
    end)

    %{folder: folder}
  end

  test "a socket that is named goes first, and that of the system last", %{folder: folder} do
    [own, system, named] = for name <- ["sidewinder", "system", "named"], do: Path.join(folder, name <> ".sock")
    System.delete_env("SIDEWINDER_LISTEN_SOCKET")
    System.put_env("SIDEWINDER_RUNTIME_DIR", folder)
    assert Address.default_socket(system) == own
    File.touch!(system)
    assert Address.default_socket(system) == system
    File.touch!(own)
    assert Address.default_socket(system) == own
    System.put_env("SIDEWINDER_LISTEN_SOCKET", named)
    assert Address.default_socket(system) == named
    assert Address.all(nil) == {:ok, [{:unix, named}]}
  end
end
