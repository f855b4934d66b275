defmodule Sidewinder.Value.JsonTest do
  @moduledoc "JSON by whichever module there is; where there is none, by a module of the test's own."
  use ExUnit.Case, async: false

  alias Sidewinder.Value
  alias Sidewinder.Value.Json

  setup do
    before = Json.module()

    on_exit(fn ->
      if before, do: :persistent_term.put({Json, :module}, before), else: :persistent_term.erase({Json, :module})
    end)

    %{module: before}
  end

  test "without a module it says what would help", %{module: module} do
    if module do
      assert {:ok, %{"a" => [1, nil]}} =
               %{a: [1, nil]} |> Json.encode() |> elem(1) |> IO.iodata_to_binary() |> Json.decode()
    else
      assert {:error, what} = Json.encode(%{})
      assert what =~ "MessagePack needs none"
      assert {:error, _} = Json.decode("{}")
    end
  end

  test "every module that is there says the same" do
    value = %{"a" => [1, nil, true, 1.5, "ä\"\n"], "b" => %{}}

    for module <- [JSON, Jason, :json], Code.ensure_loaded?(module) do
      :persistent_term.put({Json, :module}, module)
      {:ok, encoded} = Json.encode(%{a: [1, nil, true, 1.5, "ä\"\n"], b: %{}})
      assert {:ok, value} == Json.decode(IO.iodata_to_binary(encoded)), inspect(module)
      for wrong <- ["", "{", "1 2", "nul", <<?", 255, ?">>], do: assert({:error, "not JSON" <> _} = Json.decode(wrong))
    end
  end

  test "what JSON cannot say is refused before any module sees it" do
    :persistent_term.put({Json, :module}, __MODULE__.Shown)

    for {value, part} <- [
          {%{a: Value.bytes("x")}, "a: JSON cannot carry bytes"},
          {[~U[2024-01-01 00:00:00Z]], "[0]: JSON cannot carry a DateTime"},
          {:nan, "not a number"},
          {[{1}], "a tuple"},
          {%{:a => 1, "a" => 1}, "twice"},
          {<<255>>, "not UTF-8"}
        ] do
      assert {:error, what} = Json.encode(value)
      assert what =~ part
    end

    assert {:ok, shown} = Json.encode(%{1 => :two, a: [nil, 1.5, "x"]})
    assert IO.iodata_to_binary(shown) == inspect(%{"1" => "two", "a" => [nil, 1.5, "x"]})
  end

  defmodule Shown do
    @moduledoc "Stands where a JSON module would, and shows what it was given."
    def encode_to_iodata!(value), do: inspect(value)
  end
end
