defmodule Sidewinder.CodecTest do
  @moduledoc "Messages as bytes: by hand, at random, and against what Rust writes."
  use ExUnit.Case, async: true

  alias Sidewinder.Codec.Text
  alias Sidewinder.Proto
  alias Sidewinder.Test.Chances

  @golden Path.expand("../../../proto/golden/messages-1", __DIR__)

  test "random messages come back as they were" do
    for seed <- 1..2_000 do
      {_name, %module{} = message} = Chances.message(seed)
      assert {:ok, message} == module.decode(encode(message)), "seed #{seed}"
    end
  end

  # Random numbers are others in other releases of OTP, so what was written once is kept. proto/tests/golden.rs reads it.
  test "what Rust has read of ours and written again has the same bytes" do
    file = Path.join(@golden, "elixir.txt")

    if System.get_env("WRITE_GOLDEN") do
      messages = for seed <- 1..200, do: Chances.message(seed, "sidewinder.v1.")
      File.write!(file, for({name, message} <- messages, do: "#{name} #{hex(encode(message))}\n"))
    end

    assert read_and_written(file) == 200
  end

  test "what Rust has written is read, and written again with the same bytes" do
    assert read_and_written(Path.join(@golden, "rust.txt")) >= 10
  end

  defp read_and_written(file) do
    lines = file |> File.read!() |> String.split("\n", trim: true)

    for line <- lines do
      [name, hex] = String.split(line <> " ", " ") |> Enum.take(2)
      module = Map.fetch!(Proto.messages(), name)
      assert {:ok, message} = module.decode(Base.decode16!(hex, case: :lower))
      assert message.__unknown__ == []
      assert hex(encode(message)) == hex, name
    end

    length(lines)
  end

  test "a message means to both what is written here" do
    lines = @golden |> Path.join("rust.txt") |> File.read!() |> String.split("\n", trim: true)

    ["sidewinder.v1.CallRequest", hex] =
      lines |> Enum.find(&String.starts_with?(&1, "sidewinder.v1.CallRequest ")) |> String.split(" ")

    assert {:ok, request} = Proto.CallRequest.decode(Base.decode16!(hex, case: :lower))

    assert request == %Proto.CallRequest{
             call: %Proto.Call{
               pool: "fast",
               tool: "add",
               affinity: %Proto.Affinity{key: "user-17", mode: :AFFINITY_MODE_STRICT_QUEUE},
               idempotency_key: "key",
               priority: :PRIORITY_HIGH,
               on_abandon: :ON_ABANDON_FINISH,
               metadata: %{"a" => "1", "b" => ""},
               lease: "lease",
               epoch: 0xFFFFFFFFFFFFFFFF
             },
             arguments: %Proto.Payload{data: <<0, 255>>, content_type: "application/msgpack"}
           }
  end

  # Short lengths, those of two bytes and longer ones are read by different clauses, and so is what is not as others write it.
  test "a field is the same however it was written" do
    for size <- [0, 1, 127, 128, 16_383, 16_384, 70_000] do
      data = :binary.copy("x", size)
      type = :binary.copy("é", div(size, 2))
      payload = %Proto.Payload{data: data, content_type: type}
      item = %Proto.Item{value: payload}
      assert {:ok, item} == Proto.Item.decode(encode(item))
      first = encode(%Proto.Payload{data: data})
      second = encode(%Proto.Payload{content_type: type})
      assert {:ok, payload} == Proto.Payload.decode(second <> first)

      older = encode(%Proto.Payload{data: "old", content_type: "old"})
      # What is empty is not written, and takes nothing back.
      if size > 1, do: assert({:ok, payload} == Proto.Payload.decode(older <> first <> second))
    end

    # Keys and lengths with a byte more than they need.
    assert {:ok, %{data: "ab", content_type: "c"}} =
             Proto.Payload.decode(<<0x8A, 0, 0x82, 0, "ab", 18, 0x81, 0x80, 0, "c">>)

    for cut <- [<<10>>, <<10, 2, "a">>, <<10, 0x82>>, <<10, 0x82, 0, "a">>, <<10, 0, 18, 2, "a">>],
        do: assert({:error, _} = Proto.Payload.decode(cut))

    assert {:error, "not a sidewinder.v1.Payload: " <> _} = Proto.Payload.decode(<<10, 1, "a", 18, 1, 255>>)
  end

  test "what this version does not know is kept" do
    # A field 99 of each wire type, and a group.
    unknown = <<0x98, 6, 5, 0x9A, 6, 1, "x", 0x99, 6, 0::64, 0x9D, 6, 0::32, 0x9B, 6, 8, 1, 0x9C, 6>>
    assert {:ok, beat} = Proto.Beat.decode(<<8, 7>> <> unknown <> <<16, 3>>)
    assert %{sequence: 7, answers: 3} = beat
    assert IO.iodata_to_binary(beat.__unknown__) == unknown
    assert encode(beat) == <<8, 7, 16, 3>> <> unknown
    assert {:ok, ^beat} = Proto.Beat.decode(encode(beat))
  end

  test "a word that this version does not know stays a number" do
    assert {:ok, call} = Proto.Call.decode(<<40, 77>>)
    assert call.priority == 77
    assert encode(call) == <<40, 77>>
  end

  test "what comes twice is merged, and the last of a scalar holds" do
    one = encode(%Proto.CallRequest{call: %Proto.Call{tool: "a", metadata: %{"x" => "1"}}})
    two = encode(%Proto.CallRequest{call: %Proto.Call{tool: "b", pool: "p", metadata: %{"y" => "2"}}})
    assert {:ok, %{call: call}} = Proto.CallRequest.decode(one <> two)
    assert %{tool: "b", pool: "p", metadata: %{"x" => "1", "y" => "2"}} = call
    listed = encode(%Proto.WatchRequest{pools: ["a"]}) <> encode(%Proto.WatchRequest{pools: ["b", "c"]})
    assert {:ok, %{pools: ["a", "b", "c"]}} = Proto.WatchRequest.decode(listed)
    hello = encode(%Proto.FromClient{part: {:hello, %Proto.Hello{name: "n"}}})
    again = encode(%Proto.FromClient{part: {:hello, %Proto.Hello{run: "r"}}})
    assert {:ok, %{part: {:hello, %{name: "n", run: "r"}}}} = Proto.FromClient.decode(hello <> again)
  end

  test "presence is told apart from a default" do
    assert {:ok, %{load: nil}} = Proto.Beat.decode("")
    assert encode(%Proto.Beat{load: 0}) == <<32, 0>>
    assert {:ok, %{load: 0}} = Proto.Beat.decode(<<32, 0>>)
    assert {:ok, %{part: {:beat, %Proto.Beat{}}}} = Proto.FromClient.decode(<<18, 0>>)
    assert encode(%Proto.FromClient{part: {:beat, %Proto.Beat{}}}) == <<18, 0>>
  end

  test "what a field cannot carry is not written" do
    for message <- [
          %Proto.Beat{sequence: -1},
          %Proto.Beat{sequence: 0x10000000000000000},
          %Proto.Beat{load: 0x100000000},
          %Proto.Call{tool: <<255>>},
          %Proto.Call{tool: 1}
        ] do
      assert_raise ArgumentError, fn -> encode(message) end
    end
  end

  test "bytes that lie are refused" do
    for data <- [
          <<8>>,
          <<10, 5, 1>>,
          <<8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1>>,
          <<15>>,
          <<12>>,
          <<11, 8, 1>>
        ] do
      assert {:error, what} = Proto.Beat.decode(data)
      assert what =~ "not a sidewinder.v1.Beat"
    end

    assert {:error, what} = Proto.Call.decode(<<18, 1, 255>>)
    assert what =~ "UTF-8"
    deep = Enum.reduce(1..200, "", fn _, inner -> <<0xA3, 6>> <> inner <> <<0xA4, 6>> end)
    assert {:error, what} = Proto.Beat.decode(deep)
    assert what =~ "nested"
  end

  test "text is told from bytes, wherever in it what is no text stands" do
    for size <- 0..40, at <- 0..size do
      {before, behind} = {String.duplicate("a", at), String.duplicate("b", size - at)}
      for part <- ["", "ä", "€", "😀"], do: assert(Text.valid?(before <> part <> behind))

      for part <- [<<0x80>>, <<0xFF>>, <<0xC3>>, <<0xE2, 0x82>>, <<0xED, 0xA0, 0x80>>, <<0xC0, 0x80>>],
          do: refute(Text.valid?(before <> part <> behind))
    end

    :rand.seed(:exsss, {6, 6, 6})

    for _ <- 1..20_000 do
      bytes =
        for _ <- 1..:rand.uniform(12), into: "", do: <<Enum.random([?a, ?z, 0x7F, 0x80, 0xC3, 0xA4, 0xE2, 0x82, 0xAC])>>

      assert Text.valid?(bytes) == String.valid?(bytes)
    end
  end

  test "random bytes are read or refused" do
    :rand.seed(:exsss, {5, 5, 5})
    modules = Map.values(Proto.messages())

    for _ <- 1..20_000 do
      assert elem(Enum.random(modules).decode(:rand.bytes(:rand.uniform(30))), 0) in [:ok, :error]
    end
  end

  test "the contract is the one that the daemon serves" do
    ours = File.read!(Path.expand("../../priv/sidewinder.v1.bin", __DIR__))
    assert ours == File.read!(Path.expand("../../../proto/src/generated/sidewinder.v1.bin", __DIR__))
    assert %{streams: {true, true}, request: Proto.FromClient} = Proto.methods()["/sidewinder.v1.Clients/Attach"]
  end

  defp encode(%module{} = message), do: IO.iodata_to_binary(module.encode(message))
  defp hex(data), do: Base.encode16(data, case: :lower)
end
