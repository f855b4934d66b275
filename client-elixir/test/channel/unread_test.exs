defmodule Sidewinder.UnreadTest do
  @moduledoc "Messages are taken off what has come: one by one, and some at a time, which gives the same ones."
  use ExUnit.Case, async: true

  import Sidewinder.Bytes, only: [message: 1]
  alias Sidewinder.Channel.Unread
  alias Sidewinder.Proto
  alias Sidewinder.Wire.Status

  @large 1_000_000
  @types ["application/msgpack", "application/json", "application/octet-stream", "image/png", "application/jsön", ""]

  # Short ones and others, with what everybody knows, with what nobody knows, and with nothing.
  defp items do
    {:ok, strange} = Proto.Item.decode(<<10, 3, 10, 1, ?x, 0x98, 6, 5>>)

    for size <- [0, 1, 10, 80, 101, 102, 127, 128, 300], type <- @types do
      %Proto.Item{value: %Proto.Payload{data: :binary.copy("x", size), content_type: type}}
    end ++ [%Proto.Item{}, %Proto.Item{value: %Proto.Payload{}}, strange]
  end

  defp bytes(item), do: item |> Proto.Item.encode() |> IO.iodata_to_binary() |> message()

  defp all(bytes, module, read \\ []) do
    case Unread.take(bytes, @large, module) do
      {:ok, some, rest} -> all(rest, module, read ++ some)
      other -> {read, other}
    end
  end

  test "some at a time are what each of them is" do
    bytes = Enum.map_join(items(), &bytes/1)
    assert {items(), :more} == all(bytes, Proto.Item)
    doubled = Enum.flat_map(items(), &[&1, &1])
    assert {doubled, :more} == all(Enum.map_join(doubled, &bytes/1), Proto.Item)
    # In other places they are other messages.
    for item <- items(),
        do: assert({:ok, item} == Proto.Item.decode(binary_part(bytes(item), 5, byte_size(bytes(item)) - 5)))
  end

  test "they are not many, and at least one" do
    item = %Proto.Item{value: %Proto.Payload{data: "x", content_type: "application/json"}}
    assert {:ok, some, rest} = Unread.take(:binary.copy(bytes(item), 100), @large, Proto.Item)
    assert length(some) in 2..50
    assert rest == :binary.copy(bytes(item), 100 - length(some))
  end

  test "what is not there as a whole stays, wherever it is cut" do
    [one, two, three] =
      for type <- ["application/json", "image/png", "application/msgpack"],
          do: %Proto.Item{value: %Proto.Payload{data: "data", content_type: type}}

    bytes = bytes(one) <> bytes(two) <> bytes(three)

    for cut <- 0..(byte_size(bytes) - 1) do
      <<here::binary-size(cut), later::binary>> = bytes

      case Unread.take(here, @large, Proto.Item) do
        :more -> assert {[one, two, three], :more} == all(here <> later, Proto.Item)
        {:ok, some, rest} -> assert {[one, two, three] -- some, :more} == all(rest <> later, Proto.Item)
      end
    end
  end

  test "what cannot be read comes after what could" do
    good = %Proto.Item{value: %Proto.Payload{data: "x", content_type: "application/json"}}
    # No text, a field that is cut short, and one within another that is.
    for bad <- [<<10, 6, 10, 1, ?a, 18, 1, 255>>, <<10, 5, 10>>, <<10, 5, 10, 4, ?a, 18, 0>>] do
      assert {:ok, [^good, ^good], rest} = Unread.take(bytes(good) <> bytes(good) <> message(bad), @large, Proto.Item)
      assert {:unreadable, "not a sidewinder.v1.Item: " <> _} = Unread.take(rest, @large, Proto.Item)
    end

    for bad <- [<<1, 0::32>>, <<0, 1_000_001::32>>, <<1, 12::32, 10, 10, 10, 1, ?x, 18, 5, "image">>] do
      assert {:ok, [^good], rest} = Unread.take(bytes(good) <> bad, @large, Proto.Item)
      assert {:error, %Status{}} = Unread.take(rest, @large, Proto.Item)
      assert {:error, %Status{}} = Unread.take(rest, @large, :one)
    end

    size = byte_size(bytes(good)) - 5
    assert {:ok, [^good], ""} = Unread.take(bytes(good), size, Proto.Item)
    assert {:error, %Status{code: 8}} = Unread.take(bytes(good), size - 1, Proto.Item)
  end

  test "one by one they are bytes that keep nothing but themselves" do
    bytes = :binary.copy(message("small"), 1_000)
    assert {:ok, "small" = small, rest} = Unread.take(bytes, @large, :one)
    # Newer BEAMs count the room around it too.
    assert :binary.referenced_byte_size(small) < 64
    assert byte_size(rest) == 9_990
    assert :more == Unread.take("", @large, :one)
    assert :more == Unread.take(<<0, 1::32>>, @large, :one)
  end

  test "every message of the contract is read so" do
    for seed <- 1..1_000 do
      {_name, %module{} = message} = Sidewinder.Test.Chances.message(seed)
      bytes = message |> module.encode() |> IO.iodata_to_binary() |> message()
      assert {[message, message], :more} == all(bytes <> bytes, module), "seed #{seed}"
    end
  end
end
