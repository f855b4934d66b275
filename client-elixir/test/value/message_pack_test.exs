defmodule Sidewinder.Value.MessagePackTest do
  @moduledoc "MessagePack against Python's and Rust's implementations, random values, and bytes that lie."
  use ExUnit.Case, async: true

  alias Sidewinder.Test.Chances
  alias Sidewinder.Value
  alias Sidewinder.Value.MessagePack

  @python Path.expand("../../../client-python/src", __DIR__)
  @golden Path.expand("../../../proto/golden/values-1", __DIR__)

  test "what is written is read back" do
    for seed <- 1..500 do
      value = Chances.value(seed)
      assert {:ok, value} == value |> pack() |> MessagePack.decode(), "seed #{seed}"
    end
  end

  test "Python reads what is written here, and writes the same" do
    values = for seed <- 1..500, do: Chances.value(seed)
    packed = Enum.map(values, &pack/1)

    # It reads each and writes it again: the bytes are the same, but for the order of the keys of a map.
    program = """
    import sys
    from sidewinder._values._msgpack import MSGPACK
    for line in sys.stdin:
        print(MSGPACK.encode(MSGPACK.decode(bytes.fromhex(line))).hex())
    """

    back = python(program, Enum.map_join(packed, "\n", &Base.encode16(&1, case: :lower)))
    assert length(back) == 500

    for {value, packed, back} <- Enum.zip([values, packed, back]) do
      back = Base.decode16!(back, case: :lower)
      assert byte_size(back) == byte_size(packed)
      assert {:ok, value} == MessagePack.decode(back)
    end
  end

  # Random numbers are others in other releases of OTP, so what was written once is kept. proto/tests/values.rs reads it.
  test "what Rust has read of ours and packed again has the same bytes" do
    file = Path.join(@golden, "elixir.txt")

    if System.get_env("WRITE_GOLDEN") do
      File.write!(file, for(seed <- 1..60, do: [Base.encode16(pack(Chances.value(seed)), case: :lower), "\n"]))
    end

    lines = file |> File.read!() |> String.split("\n", trim: true)
    assert length(lines) == 60
    for line <- lines, do: assert({:ok, _} = line |> Base.decode16!(case: :lower) |> again())
  end

  test "what Rust has packed means what it says, and is packed the same" do
    lines = @golden |> Path.join("rust.txt") |> File.read!() |> String.split("\n", trim: true)

    kinds =
      for line <- lines do
        [what, hex] = String.split(line, ": ")
        [kind | _] = words = String.split(what)
        data = Base.decode16!(hex, case: :lower)
        assert {:ok, value} = if(kind == "single", do: MessagePack.decode(data), else: again(data)), what
        assert value == meant(words), what
        kind
      end

    assert length(Enum.uniq(kinds)) == 11
  end

  # Read, and packed again in as many bytes; the keys of a map may stand in another order.
  defp again(data) do
    {:ok, value} = MessagePack.decode(data)
    back = pack(marked(value))
    assert byte_size(back) == byte_size(data)
    assert {:ok, value} == MessagePack.decode(back)
    {:ok, value}
  end

  # What was bytes comes back as a binary; none of those there is text.
  defp marked(value) when is_binary(value), do: if(value =~ ~r/^\xFF/, do: Value.bytes(value), else: value)
  defp marked(value), do: value

  defp meant(["nil"]), do: nil
  defp meant(["true"]), do: true
  defp meant(["false"]), do: false
  defp meant(["integer", number]), do: String.to_integer(number)
  defp meant([kind, number]) when kind in ["float", "single"], do: number |> Float.parse() |> elem(0)
  defp meant(["text", size]), do: String.duplicate("a", String.to_integer(size))
  defp meant(["bytes", size]), do: :binary.copy(<<0xFF>>, String.to_integer(size))
  defp meant(["list", count]), do: List.duplicate(nil, String.to_integer(count))
  defp meant(["map", count]), do: for(key <- 0..(String.to_integer(count) - 1)//1, into: %{}, do: {key, nil})

  defp meant(["moment", seconds, nanos]),
    do: DateTime.from_unix!(String.to_integer(seconds) * 1_000_000_000 + String.to_integer(nanos), :nanosecond) |> cut()

  defp cut(moment), do: moment |> DateTime.to_unix(:microsecond) |> DateTime.from_unix!(:microsecond)

  test "each type is to Python what the documentation says" do
    program = """
    import sys
    from sidewinder._values._msgpack import MSGPACK
    for line in sys.stdin:
        print(repr(MSGPACK.decode(bytes.fromhex(line))))
    """

    cases = [
      {nil, "None"},
      {true, "True"},
      {-7, "-7"},
      {1.5, "1.5"},
      {:nan, "nan"},
      {:neg_infinity, "-inf"},
      {"ä", "'ä'"},
      {:atom, "'atom'"},
      {Value.bytes(<<0, 255>>), "b'\\x00\\xff'"},
      {[1, []], "[1, []]"},
      {%{1 => %{a: nil}}, "{1: {'a': None}}"},
      {~U[2024-02-29 12:00:00Z], "datetime.datetime(2024, 2, 29, 12, 0, tzinfo=datetime.timezone.utc)"},
      {~U[1815-12-10 00:00:00.000001Z], "datetime.datetime(1815, 12, 10, 0, 0, 0, 1, tzinfo=datetime.timezone.utc)"}
    ]

    lines = Enum.map_join(cases, "\n", fn {value, _} -> Base.encode16(pack(value)) end)
    assert python(program, lines) == for({_, shown} <- cases, do: shown)
  end

  test "heads change where the format says" do
    for {size, head} <- [{31, 1}, {32, 2}, {255, 2}, {256, 3}, {65_535, 3}, {65_536, 5}] do
      assert byte_size(pack(String.duplicate("a", size))) == size + head
    end

    for {count, head} <- [{15, 1}, {16, 3}, {65_535, 3}, {65_536, 5}] do
      assert byte_size(pack(List.duplicate(0, count))) == count + head
      assert byte_size(pack(Map.new(1..count, &{&1, nil}))) > count + head
    end

    for {number, bytes} <- [
          {127, 1},
          {128, 2},
          {255, 2},
          {256, 3},
          {65_536, 5},
          {0x100000000, 9},
          {-32, 1},
          {-33, 2},
          {-129, 3}
        ] do
      assert byte_size(pack(number)) == bytes
    end
  end

  test "what cannot be carried is refused, with its place" do
    for {value, part} <- [
          {{1}, "a tuple"},
          {[1, %{"a" => {1}}], "[1].a: a tuple"},
          {%{list: [1, 2, self()]}, "list[2]: #PID"},
          {0x10000000000000000, "64 bits"},
          {%{deep: -0x8000000000000001}, "deep: an integer of more than 64 bits"},
          {<<255>>, "not UTF-8"},
          {<<1::3>>, "not whole bytes"},
          {~D[2024-01-01], "a Date names no moment"},
          {~N[2024-01-01 00:00:00], "NaiveDateTime"},
          {MapSet.new([1]), "MapSet struct"},
          {1..3, "Range struct"},
          {[1 | 2], "an improper list"},
          {%{{1} => 2}, "the key {1}"},
          {%{:a => 1, "a" => 2}, "\"a\" is there twice"},
          {Value.bytes(:atom), "neither a binary nor iodata"},
          {fn -> 1 end, "means nothing outside"}
        ] do
      assert {:error, what} = MessagePack.encode(value)
      assert what =~ part, "#{inspect(value)}: #{what}"
    end
  end

  test "nesting is bounded on both ways" do
    nest = fn depth -> Enum.reduce(1..depth, 0, fn _, inner -> [inner] end) end
    depth = MessagePack.depth_max()
    assert {:ok, _} = depth |> nest.() |> pack() |> MessagePack.decode()
    assert {:error, what} = MessagePack.encode(nest.(depth + 1))
    assert what =~ "too deeply"
    assert {:error, "nested deeper than 128"} = MessagePack.decode(String.duplicate(<<0x91>>, depth + 1) <> <<0>>)
  end

  test "no atom is made of what is received" do
    text = "never_seen_before_#{System.unique_integer([:positive])}"
    {:ok, %{^text => ^text}} = %{text => text} |> pack() |> MessagePack.decode()
    assert_raise ArgumentError, fn -> String.to_existing_atom(text) end
  end

  test "bytes that lie cost nothing and raise nothing" do
    for data <-
          [<<>>, <<0xC1>>, <<0xDD, 0xFFFFFFFF::32>>, <<0xDF, 0xFFFFFFFF::32>>, <<0xC6, 0xFFFFFFFF::32>>] ++
            [<<0xDB, 9::32, "a">>, <<0xA1, 255>>, <<1, 2>>, <<0xC7, 3, 5, 0::24>>, <<0xC7, 5, 0xFF, 0::40>>] ++
            [
              <<0x81, 0x90, 1>>,
              <<0xC7, 12, 0xFF, 1_000_000_000::32, 0::64>>,
              <<0xC7, 12, 0xFF, 0::32, 0x7FFFFFFFFFFFFFFF::64>>
            ] do
      assert {:error, what} = MessagePack.decode(data)
      assert what =~ ~r/^not (MessagePack|usable)/
    end
  end

  test "random bytes are read or refused" do
    :rand.seed(:exsss, {7, 7, 7})

    for _ <- 1..20_000,
        do: assert({kind, _} = MessagePack.decode(:rand.bytes(:rand.uniform(20)))) && kind in [:ok, :error]
  end

  test "every bit of a message may be wrong" do
    data = pack(Chances.value(3))

    for at <- 0..(bit_size(data) - 1) do
      <<before::size(at), bit::1, rest::bitstring>> = data
      assert elem(MessagePack.decode(<<before::size(at), 1 - bit::1, rest::bitstring>>), 0) in [:ok, :error]
    end
  end

  test "a small text does not keep the message that it came in" do
    {:ok, [small, large]} = ["small", String.duplicate("x", 100_000)] |> pack() |> MessagePack.decode()
    assert :binary.referenced_byte_size(small) < 64
    assert byte_size(large) == 100_000
  end

  defp pack(value) do
    {:ok, packed} = MessagePack.encode(value)
    IO.iodata_to_binary(packed)
  end

  defp python(program, input) do
    file = Path.join(System.tmp_dir!(), "sidewinder-values-#{System.pid()}-#{System.unique_integer([:positive])}")
    File.write!(file, input <> "\n")
    on_exit(fn -> File.rm(file) end)
    script = ~s(exec python3 -c "$0" < "$1")
    env = [{"PYTHONPATH", @python}, {"PYTHONDONTWRITEBYTECODE", "1"}, {"PYTHONIOENCODING", "utf-8"}]
    {out, 0} = System.cmd("sh", ["-c", script, program, file], env: env)
    String.split(out, "\n", trim: true)
  end
end
