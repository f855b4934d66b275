defmodule Sidewinder.Wire.HpackTest do
  @moduledoc "Header compression against the vectors of RFC 7541, appendix C, and against what breaks it."
  use ExUnit.Case, async: true
  alias Sidewinder.Wire.{Hpack, Huffman}

  @limit 65_536

  # Section, size of the table, whether strings are Huffman-coded; then blocks with what they mean.
  @get [{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "www.example.com"}]
  @custom [
    {":method", "GET"},
    {":scheme", "https"},
    {":path", "/index.html"},
    {":authority", "www.example.com"},
    {"custom-key", "custom-value"}
  ]
  @moved [
    {":status", "302"},
    {"cache-control", "private"},
    {"date", "Mon, 21 Oct 2013 20:13:21 GMT"},
    {"location", "https://www.example.com"}
  ]
  @cookie [
    {":status", "200"},
    {"cache-control", "private"},
    {"date", "Mon, 21 Oct 2013 20:13:22 GMT"},
    {"location", "https://www.example.com"},
    {"content-encoding", "gzip"},
    {"set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"}
  ]
  @vectors [
    {"C.2.1", 4096, [{"400a637573746f6d2d6b65790d637573746f6d2d686561646572", [{"custom-key", "custom-header"}]}]},
    {"C.2.2", 4096, [{"040c2f73616d706c652f70617468", [{":path", "/sample/path"}]}]},
    {"C.2.3", 4096, [{"100870617373776f726406736563726574", [{"password", "secret"}]}]},
    {"C.2.4", 4096, [{"82", [{":method", "GET"}]}]},
    {"C.3", 4096,
     [
       {"828684410f7777772e6578616d706c652e636f6d", @get},
       {"828684be58086e6f2d6361636865", @get ++ [{"cache-control", "no-cache"}]},
       {"828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", @custom}
     ]},
    {"C.4", 4096,
     [
       {"828684418cf1e3c2e5f23a6ba0ab90f4ff", @get},
       {"828684be5886a8eb10649cbf", @get ++ [{"cache-control", "no-cache"}]},
       {"828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", @custom}
     ]},
    {"C.5", 256,
     [
       {"4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54" <>
          "6e1768747470733a2f2f7777772e6578616d706c652e636f6d", @moved},
       {"4803333037c1c0bf", [{":status", "307"} | tl(@moved)]},
       {"88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d41534" <>
          "44a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
        @cookie}
     ]},
    {"C.6", 256,
     [
       {"488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        @moved},
       {"4883640effc1c0bf", [{":status", "307"} | tl(@moved)]},
       {"88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960" <>
          "d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007", @cookie}
     ]}
  ]

  for {section, size, blocks} <- @vectors do
    test "reads #{section} of the RFC" do
      Enum.reduce(unquote(Macro.escape(blocks)), Hpack.new(unquote(size)), fn {hex, fields}, table ->
        assert {:ok, ^fields, table} = Hpack.decode(bytes(hex), table, @limit)
        table
      end)
    end
  end

  for {section, size, blocks} <- @vectors, section == "C.4" do
    test "writes #{section} of the RFC" do
      Enum.reduce(unquote(Macro.escape(blocks)), Hpack.new(unquote(size)), fn {hex, fields}, table ->
        {block, table} = Hpack.encode(for({name, value} <- fields, do: {:index, name, value}), table)
        assert IO.iodata_to_binary(block) == bytes(hex)
        table
      end)
    end
  end

  test "the modes are written as such, and read back" do
    for {mode, first} <- [index: 0x40, plain: 0x00, never: 0x10] do
      {block, table} = Hpack.encode([{mode, "x-name", "value"}], Hpack.new())
      assert <<^first, _::binary>> = block = IO.iodata_to_binary(block)
      assert table.count == if(mode == :index, do: 1, else: 0)
      assert {:ok, [{"x-name", "value"}], _} = Hpack.decode(block, Hpack.new(), @limit)
    end
  end

  test "what is known is the same again, until something is inserted" do
    fields = [{:index, ":method", "POST"}, {:index, "x", "y"}]

    {blocks, {ours, theirs}} =
      Enum.map_reduce(
        [:first, :second, :third, :insert, :fifth, :sixth, :smaller, :last],
        {Hpack.new(), Hpack.new()},
        fn
          :insert, {ours, theirs} ->
            {block, ours} = Hpack.encode([{:index, "another", "one"}], ours)
            {:ok, [{"another", "one"}], theirs} = Hpack.decode(IO.iodata_to_binary(block), theirs, @limit)
            {:insert, {ours, theirs}}

          step, {ours, theirs} ->
            ours = if step == :smaller, do: Hpack.allow(ours, 50), else: ours
            {block, ours} = Hpack.encode_known(:key, fields, ours)
            block = IO.iodata_to_binary(block)
            assert {:ok, [{":method", "POST"}, {"x", "y"}], theirs} = Hpack.decode(block, theirs, @limit)
            {block, {ours, theirs}}
        end
      )

    assert [_, <<0x83, 0xBE>>, <<0x83, 0xBE>>, :insert, <<0x83, 0xBF>>, <<0x83, 0xBF>>, <<_, _, 0x83, _::binary>>, _] =
             blocks

    assert map_size(ours.known) == 1
    assert map_size(theirs.known) <= 3
  end

  test "a block that inserts does so each time, and one that changes the size does so each time" do
    inserts = bytes("400161" <> "0162")
    {:ok, _, table} = Hpack.decode(inserts, Hpack.new(), @limit)
    {:ok, _, table} = Hpack.decode(inserts, table, @limit)
    assert table.count == 2
    {:ok, [{"a", "b"}], table} = Hpack.decode(<<0xBE>>, table, @limit)
    smaller = <<0x20, 0x82>>
    {:ok, _, table} = Hpack.decode(smaller, table, @limit)
    assert {:error, _} = Hpack.decode(<<0xBE>>, table, @limit)
    {:ok, _, table} = Hpack.decode(<<0x3F, 69, 0x82>>, table, @limit)
    assert %{max: 100} = table
    assert {:ok, _, %{max: 0}} = Hpack.decode(smaller, table, @limit)
  end

  test "what is remembered is bounded" do
    table = Enum.reduce(1..200, Hpack.new(), &elem(Hpack.encode_known(&1, [{:index, ":method", "GET"}], &2), 1))
    assert map_size(table.known) <= 64
    table = Enum.reduce(1..200, Hpack.new(), &elem(Hpack.decode(:binary.copy(<<0x82>>, &1), &2, @limit), 2))
    assert map_size(table.known) <= 64
    assert Enum.all?(Map.keys(table.known), &(byte_size(&1) <= 64))
  end

  test "a smaller table is announced once, with the smallest size in between" do
    {_, table} = Hpack.encode([{:index, "a", "b"}], Hpack.new())
    table = table |> Hpack.allow(0) |> Hpack.allow(100)
    assert table.count == 0
    {block, table} = Hpack.encode([{:index, ":method", "GET"}], table)
    assert IO.iodata_to_binary(block) == <<0x20, 0x3F, 69, 0x82>>
    {block, _} = Hpack.encode([{:index, ":method", "GET"}], table)
    assert IO.iodata_to_binary(block) == <<0x82>>
  end

  test "a field that is larger than the table empties it" do
    large = String.duplicate("x", 300)
    {block, table} = Hpack.encode([{:index, "a", "b"}, {:index, "large", large}], Hpack.new(256))
    assert %{count: 0, size: 0, entries: entries, found: found} = table
    assert entries == %{} and found == %{}
    assert {:ok, [_, {"large", ^large}], %{count: 0}} = Hpack.decode(IO.iodata_to_binary(block), Hpack.new(256), @limit)
  end

  describe "what is refused" do
    for {what, hex} <- [
          {"index 0", "80"},
          {"an index beyond the table", "be"},
          {"a string that is cut short", "400a6375"},
          {"a string that is missing", "40"},
          {"a name without a value", "400161"},
          {"an integer without an end", "ffffffffffffffffff"},
          {"an integer of 2^28 and more", "ff8080808001"},
          {"a table larger than agreed", "3fe23f"},
          {"a change of size after a field", "8220"},
          {"Huffman padding of eight bits", "4001618312ffff"},
          {"Huffman padding with a zero", "4001618118"},
          {"the end of a string inside of one", "40016184ffffffff"}
        ] do
      test what do
        assert {:error, why} = Hpack.decode(bytes(unquote(hex)), Hpack.new(), @limit)
        assert is_binary(why)
      end
    end

    test "a block whose fields are larger than the limit, however small it is itself" do
      {block, _} = Hpack.encode([{:index, "a", String.duplicate("x", 1000)}], Hpack.new())
      block = IO.iodata_to_binary([block, List.duplicate(0xBE, 100)])
      assert {:error, "the fields are larger than the limit"} = Hpack.decode(block, Hpack.new(), 20_000)
      assert {:ok, fields, _} = Hpack.decode(block, Hpack.new(), 200_000)
      assert length(fields) == 101
    end
  end

  test "every byte goes through the Huffman code and back, alone and together" do
    for byte <- 0..255, string <- [<<byte>>, :binary.copy(<<byte>>, 8), <<byte, 0, byte>>] do
      coded = Huffman.encode(string)
      assert byte_size(coded) == Huffman.size(string)
      assert Huffman.decode(coded) == {:ok, string}
    end

    all = for byte <- 0..255, into: <<>>, do: <<byte>>
    assert Huffman.decode(Huffman.encode(all)) == {:ok, all}
  end

  test "nonsense is refused or read, and never raises" do
    Sidewinder.Chance.many("nonsense", 20_000, fn ->
      block = :rand.bytes(:rand.uniform(40))
      assert elem(Hpack.decode(block, Hpack.new(), @limit), 0) in [:ok, :error]
    end)
  end

  defp bytes(hex), do: Base.decode16!(hex, case: :lower)
end
