defmodule Sidewinder.Wire.Hpack do
  @moduledoc """
  Header compression (RFC 7541): lists of names and values to bytes and back.

  Either direction of a connection has a table of its own that both ends keep alike, so every block of the connection
  must be decoded, also one that nobody wants any more. A table is a map from the number of an insertion to its entry:
  the newest has the highest number, and what is evicted has the lowest.

  Everything is bounded: the table by what was agreed, integers by 28 bits, the decoded list by `limit`, because one byte
  of a block can stand for a field of four kilobytes.

  Calls resemble each other, and so do answers. What a list of fields became, or what a block meant, is remembered under
  the number of the newest insertion: it is the same again as long as that number is.

  Who encodes says of each field what is to become of it: `:index` puts it into the table, so that it costs one byte the
  next time, `:plain` does not, and `:never` asks everybody on the way to keep it out of tables, too.
  """

  import Bitwise
  alias Sidewinder.Wire.{Huffman, StaticTable}

  # Lists and blocks that are remembered, and the size of the largest such block in bytes.
  @known_max 64
  @known_size 64

  # What an entry costs beside its bytes, in bytes (section 4.1).
  @overhead 32
  @table_max 4096

  defstruct entries: %{},
            found: %{},
            newest: 0,
            count: 0,
            size: 0,
            max: @table_max,
            bound: @table_max,
            pending: nil,
            known: %{}

  @type t :: %__MODULE__{}
  @type field :: {binary, binary}
  @type mode :: :index | :plain | :never

  @doc "An empty table of at most so many bytes."
  @spec new(non_neg_integer) :: t
  def new(max \\ @table_max), do: %__MODULE__{max: max, bound: max}

  @doc "What the peer allows for our table. It is said at the beginning of the next block."
  @spec allow(t, non_neg_integer) :: t
  def allow(table, bound) do
    size = min(bound, @table_max)

    case table do
      %{max: ^size, pending: nil} -> table
      %{pending: nil} -> evict(%{table | max: size, pending: {size, size}, known: %{}})
      %{pending: {low, _}} -> evict(%{table | max: size, pending: {min(low, size), size}, known: %{}})
    end
  end

  ## Encoding

  @doc "A block of these fields, and the table after it."
  @spec encode([{mode, binary, binary}], t) :: {iodata, t}
  def encode(fields, table) do
    {start, table} = announce(table)
    {coded, table} = Enum.map_reduce(fields, table, &field/2)
    {[start | coded], table}
  end

  @doc "The same for fields that come again and again under a name of their own."
  @spec encode_known(term, [{mode, binary, binary}], t) :: {iodata, t}
  def encode_known(key, fields, %{newest: newest} = table) do
    case table do
      %{known: %{^key => {^newest, block}}, pending: nil} -> {block, table}
      _ -> fields |> encode(table) |> remember(key, newest)
    end
  end

  # Only what inserts nothing will be the same the next time.
  defp remember({block, %{newest: newest, known: known} = table}, key, newest) do
    known = if map_size(known) < @known_max, do: known, else: %{}
    block = IO.iodata_to_binary(block)
    {block, %{table | known: Map.put(known, key, {newest, block})}}
  end

  defp remember(inserted, _, _), do: inserted

  defp announce(%{pending: nil} = table), do: {[], table}

  defp announce(%{pending: {low, last}} = table) do
    sizes = if low < last, do: [low, last], else: [last]
    {Enum.map(sizes, &integer(1, 3, 5, &1)), %{table | pending: nil}}
  end

  defp field({mode, name, value}, table) do
    case StaticTable.find(name, value) do
      {:whole, index} -> {integer(1, 1, 7, index), table}
      other -> dynamic(mode, name, value, other, table)
    end
  end

  defp dynamic(:index, name, value, other, table) do
    case table.found do
      %{{^name, ^value} => number} -> {integer(1, 1, 7, 62 + table.newest - number), table}
      _ -> {literal(1, 2, 6, other, name, value, &string/1), insert(table, name, value)}
    end
  end

  # What is said once only is not worth coding.
  defp dynamic(:plain, name, value, other, table), do: {literal(0, 4, 4, other, name, value, &plain/1), table}
  defp dynamic(:never, name, value, other, table), do: {literal(1, 4, 4, other, name, value, &plain/1), table}

  defp literal(tag, tag_bits, bits, {:name, index}, _, value, string),
    do: [integer(tag, tag_bits, bits, index) | string.(value)]

  defp literal(tag, tag_bits, bits, :none, name, value, string),
    do: [integer(tag, tag_bits, bits, 0), string.(name) | string.(value)]

  defp plain(value), do: [integer(0, 1, 7, byte_size(value)) | value]

  defp string(value) do
    short = Huffman.size(value)

    if short < byte_size(value),
      do: [integer(1, 1, 7, short) | Huffman.encode(value)],
      else: plain(value)
  end

  defp integer(tag, tag_bits, bits, value) when value < (1 <<< bits) - 1,
    do: <<tag::size(tag_bits), value::size(bits)>>

  defp integer(tag, tag_bits, bits, value) do
    full = (1 <<< bits) - 1
    [<<tag::size(tag_bits), full::size(bits)>> | more(value - full)]
  end

  defp more(value) when value < 128, do: <<value>>
  defp more(value), do: [(value &&& 127) ||| 128 | more(value >>> 7)] |> IO.iodata_to_binary()

  ## Decoding

  @doc "The fields of a block, and the table after it. `limit` bounds their size, counted as RFC 9113 counts it."
  @spec decode(binary, t, pos_integer) :: {:ok, [field], t} | {:error, String.t()}
  def decode(block, %{newest: newest} = table, limit) do
    case table.known do
      %{^block => {^newest, fields}} -> {:ok, fields, table}
      _ -> block |> resized(table) |> fields(limit, []) |> learn(block, newest)
    end
  catch
    {:hpack, why} -> {:error, why}
  end

  # Only a block that changed nothing will mean the same the next time.
  defp learn({:ok, fields, %{newest: newest} = table}, <<tag::3, _::bitstring>> = block, newest)
       when tag != 1 and byte_size(block) <= @known_size do
    known = if map_size(table.known) < @known_max, do: table.known, else: %{}
    {:ok, fields, %{table | known: Map.put(known, :binary.copy(block), {newest, fields})}}
  end

  defp learn(read, _, _), do: read

  # Changes of size stand at the beginning and nowhere else.
  defp resized(<<1::3, rest::bitstring>>, table) do
    {size, rest} = take_integer(rest, 5)
    if size > table.bound, do: throw({:hpack, "a table of #{size} bytes, agreed were #{table.bound}"})
    resized(rest, evict(%{table | max: size, known: %{}}))
  end

  defp resized(block, table), do: {block, table}

  defp fields({<<>>, table}, _, fields), do: {:ok, Enum.reverse(fields), table}

  defp fields({<<1::1, rest::bitstring>>, table}, left, fields) do
    {index, rest} = take_integer(rest, 7)
    field = look(table, index)
    fields({rest, table}, spend(left, field), [field | fields])
  end

  defp fields({<<1::2, rest::bitstring>>, table}, left, fields) do
    {{name, value} = field, rest} = take_literal(rest, 6, table)
    fields({rest, insert(table, name, value)}, spend(left, field), [field | fields])
  end

  defp fields({<<0::3, _never::1, rest::bitstring>>, table}, left, fields) do
    {field, rest} = take_literal(rest, 4, table)
    fields({rest, table}, spend(left, field), [field | fields])
  end

  defp fields({<<1::3, _::bitstring>>, _}, _, _), do: throw({:hpack, "a change of size after a field"})

  defp spend(left, {name, value}) do
    case left - byte_size(name) - byte_size(value) - @overhead do
      left when left >= 0 -> left
      _ -> throw({:hpack, "the fields are larger than the limit"})
    end
  end

  defp take_literal(rest, bits, table) do
    {name, rest} =
      case take_integer(rest, bits) do
        {0, rest} -> take_string(rest)
        {index, rest} -> {elem(look(table, index), 0), rest}
      end

    {value, rest} = take_string(rest)
    {{name, value}, rest}
  end

  defp take_string(<<huffman::1, rest::bitstring>>) do
    {length, rest} = take_integer(rest, 7)

    case {huffman, rest} do
      {0, <<string::binary-size(length), rest::binary>>} -> {:binary.copy(string), rest}
      {1, <<coded::binary-size(length), rest::binary>>} -> {huffman(coded), rest}
      _ -> throw({:hpack, "a string is cut short"})
    end
  end

  defp take_string(<<>>), do: throw({:hpack, "a string is missing"})

  defp huffman(coded) do
    case Huffman.decode(coded) do
      {:ok, string} -> string
      :error -> throw({:hpack, "a string is coded wrongly"})
    end
  end

  defp take_integer(block, bits) do
    full = (1 <<< bits) - 1

    case block do
      <<^full::size(bits), rest::binary>> -> take_more(rest, full, 0)
      <<value::size(bits), rest::binary>> -> {value, rest}
    end
  end

  defp take_more(<<0::1, value::7, rest::binary>>, sum, shift), do: {sum + (value <<< shift), rest}

  defp take_more(<<1::1, value::7, rest::binary>>, sum, shift) when shift < 21,
    do: take_more(rest, sum + (value <<< shift), shift + 7)

  defp take_more(_, _, _), do: throw({:hpack, "an integer is too large or cut short"})

  ## The table

  defp look(_, 0), do: throw({:hpack, "index 0"})
  defp look(_, index) when index < 62, do: StaticTable.at(index)

  defp look(table, index) do
    number = table.newest - (index - 62)

    case table.entries do
      %{^number => field} -> field
      _ -> throw({:hpack, "index #{index} is in no table"})
    end
  end

  defp insert(table, name, value) do
    number = table.newest + 1
    entries = Map.put(table.entries, number, {name, value})
    found = Map.put(table.found, {name, value}, number)
    size = table.size + byte_size(name) + byte_size(value) + @overhead
    evict(%{table | entries: entries, found: found, newest: number, count: table.count + 1, size: size})
  end

  defp evict(%{size: size, max: max} = table) when size <= max, do: table

  defp evict(table) do
    oldest = table.newest - table.count + 1
    {{name, value} = field, entries} = Map.pop!(table.entries, oldest)

    found =
      case table.found do
        %{^field => ^oldest} -> Map.delete(table.found, field)
        found -> found
      end

    size = table.size - byte_size(name) - byte_size(value) - @overhead
    evict(%{table | entries: entries, found: found, count: table.count - 1, size: size})
  end
end
