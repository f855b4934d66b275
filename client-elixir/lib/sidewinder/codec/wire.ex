defmodule Sidewinder.Codec.Wire do
  @moduledoc """
  Protobuf as bytes: numbers, lengths, and what to do about fields that nobody knows.

  Whoever reads believes nothing. A length that lies, a number that never ends and a nesting without an end throw
  `{:protobuf, what}`, which `Sidewinder.Codec` turns into an error. Whoever writes is strict: a value that its field
  cannot carry raises an `ArgumentError` before anything is sent.
  """

  import Bitwise

  alias Sidewinder.Codec.Text

  @depth_max 100

  @type fault :: {:protobuf, String.t()}

  @doc "How deep messages may be nested."
  @spec depth_max() :: pos_integer
  def depth_max, do: @depth_max

  # Reading

  @doc "A number of up to 64 bits, and what follows it."
  @spec varint(binary) :: {non_neg_integer, binary}
  def varint(<<0::1, value::7, rest::binary>>), do: {value, rest}
  def varint(<<1::1, a::7, 0::1, b::7, rest::binary>>), do: {b <<< 7 ||| a, rest}
  def varint(<<1::1, a::7, rest::binary>>), do: varint(rest, a, 7)
  def varint(<<>>), do: fault("it ends where a number begins")

  defp varint(<<0::1, last::7, rest::binary>>, low, shift),
    do: {(last <<< shift ||| low) &&& 0xFFFFFFFFFFFFFFFF, rest}

  defp varint(<<1::1, more::7, rest::binary>>, low, shift) when shift < 63,
    do: varint(rest, more <<< shift ||| low, shift + 7)

  defp varint(<<>>, _low, _shift), do: fault("it ends within a number")
  defp varint(_, _low, _shift), do: fault("a number of more than ten bytes")

  @doc "Bytes with their length before them, and what follows them."
  @spec bytes(binary) :: {binary, binary}
  def bytes(<<0::1, size::7, taken::binary-size(size), rest::binary>>), do: {taken, rest}

  def bytes(data) do
    {size, rest} = varint(data)

    case rest do
      <<taken::binary-size(size), rest::binary>> -> {taken, rest}
      _ -> fault("#{size} bytes are announced and #{byte_size(rest)} are there")
    end
  end

  @doc "Bytes as text."
  @spec text(binary) :: String.t()
  def text(bytes), do: if(Text.valid?(bytes), do: bytes, else: fault("a text that is not UTF-8"))

  @doc "The value of one field of this kind."
  @spec get(atom, binary) :: {term, binary}
  def get(:string, data) do
    {text, rest} = bytes(data)
    {text(text), rest}
  end

  def get(:bytes, data), do: bytes(data)

  def get(:bool, data) do
    {value, rest} = varint(data)
    {value != 0, rest}
  end

  def get(kind, data) when kind in [:uint64, :uint32, :int64, :int32, :sint64, :sint32] do
    {value, rest} = varint(data)
    {number(kind, value), rest}
  end

  def get(:double, <<bits::binary-size(8), rest::binary>>), do: {double(bits), rest}
  def get(:float, <<bits::binary-size(4), rest::binary>>), do: {float(bits), rest}
  def get(:fixed64, <<value::little-64, rest::binary>>), do: {value, rest}
  def get(:fixed32, <<value::little-32, rest::binary>>), do: {value, rest}
  def get(:sfixed64, <<value::little-signed-64, rest::binary>>), do: {value, rest}
  def get(:sfixed32, <<value::little-signed-32, rest::binary>>), do: {value, rest}
  def get(_kind, _data), do: fault("it ends within a number")

  defp number(:uint64, value), do: value
  defp number(:uint32, value), do: value &&& 0xFFFFFFFF
  defp number(:int64, value), do: signed(value, 64)
  defp number(:int32, value), do: signed(value, 32)
  defp number(:sint64, value), do: bxor(value >>> 1, -(value &&& 1))

  defp number(:sint32, value) do
    low = value &&& 0xFFFFFFFF
    bxor(low >>> 1, -(low &&& 1))
  end

  # The BEAM has no floats that are not numbers.
  defp double(<<value::little-float-64>>), do: value
  defp double(<<0::48, 0xF0, 0x7F>>), do: :infinity
  defp double(<<0::48, 0xF0, 0xFF>>), do: :neg_infinity
  defp double(_), do: :nan
  defp float(<<value::little-float-32>>), do: value
  defp float(<<0, 0, 0x80, 0x7F>>), do: :infinity
  defp float(<<0, 0, 0x80, 0xFF>>), do: :neg_infinity
  defp float(_), do: :nan

  @doc "The lowest bits of a number, the highest of them being its sign."
  @spec signed(non_neg_integer, 32 | 64) :: integer
  def signed(value, size) do
    <<signed::signed-size(size)>> = <<value::size(size)>>
    signed
  end

  @doc "A list of values that stand behind one another."
  @spec packed(atom, binary, list) :: list
  def packed(_kind, <<>>, before), do: before

  def packed(kind, data, before) do
    {value, rest} = get(kind, data)
    packed(kind, rest, [value | before])
  end

  @doc "What follows a field, by the wire type that its key says."
  @spec skip(non_neg_integer, binary, non_neg_integer) :: binary
  def skip(key, data, depth \\ 0)
  def skip(_key, _data, depth) when depth > @depth_max, do: too_deep()

  def skip(key, data, depth) do
    case {key &&& 7, data} do
      {0, _} -> data |> varint() |> elem(1)
      {1, <<_::64, rest::binary>>} -> rest
      {2, _} -> data |> bytes() |> elem(1)
      {3, _} -> skip_group(key >>> 3, data, depth + 1)
      {5, <<_::32, rest::binary>>} -> rest
      _ -> fault("a field that does not end, or of a kind that there is not")
    end
  end

  defp skip_group(number, data, depth) do
    case varint(data) do
      {key, rest} when key == (number <<< 3 ||| 4) -> rest
      {key, rest} -> skip_group(number, skip(key, rest, depth), depth)
    end
  end

  @doc "Every field of a message of which only the wire is known: numbers and bytes, in their order."
  @spec fields(binary) :: [{pos_integer, non_neg_integer | binary}]
  def fields(<<>>), do: []

  def fields(data) do
    {key, rest} = varint(data)

    {value, rest} =
      case key &&& 7 do
        0 -> varint(rest)
        2 -> bytes(rest)
        _ -> {0, skip(key, rest)}
      end

    [{key >>> 3, value} | fields(rest)]
  end

  @doc "Gives up reading what is nested too deeply."
  @spec too_deep() :: no_return
  def too_deep, do: fault("nested deeper than #{@depth_max}")

  @doc "Gives up reading."
  @spec fault(String.t()) :: no_return
  def fault(what), do: throw({:protobuf, what})

  # Writing

  @doc "The key before a field."
  @spec key(pos_integer, atom) :: binary
  def key(number, kind), do: IO.iodata_to_binary(put_varint(number <<< 3 ||| wire_type(kind)))

  @doc "How a field of this kind travels."
  @spec wire_type(atom) :: 0 | 1 | 2 | 5
  def wire_type(kind) when kind in [:double, :fixed64, :sfixed64], do: 1
  def wire_type(kind) when kind in [:float, :fixed32, :sfixed32], do: 5
  def wire_type(kind) when kind in [:string, :bytes, :message], do: 2
  def wire_type(_kind), do: 0

  @doc "A number."
  @spec put_varint(non_neg_integer) :: iodata
  def put_varint(value) when value < 0x80, do: <<value>>
  def put_varint(value) when value < 0x4000, do: <<1::1, value::7, value >>> 7>>
  def put_varint(value), do: [<<1::1, value::7>> | put_varint(value >>> 7)]

  @doc "Bytes behind their length."
  @spec put_bytes(iodata) :: iodata
  def put_bytes(data) when is_binary(data), do: [put_varint(byte_size(data)), data]
  def put_bytes(data), do: [put_varint(IO.iodata_length(data)), data]

  @doc "A value of this kind, without its key."
  @spec put(atom, term) :: iodata
  def put(:string, value) when is_binary(value) do
    if Text.valid?(value), do: put_bytes(value), else: misfit(:string, value)
  end

  # Payloads are written as iodata, so that they are not copied before they are sent.
  def put(:bytes, value) when is_binary(value) or is_list(value), do: put_bytes(value)
  def put(:bool, true), do: <<1>>
  def put(:bool, false), do: <<0>>
  def put(:uint64, value) when value in 0..0xFFFFFFFFFFFFFFFF, do: put_varint(value)
  def put(:uint32, value) when value in 0..0xFFFFFFFF, do: put_varint(value)

  def put(kind, value)
      when (kind == :int32 and value in -0x80000000..0x7FFFFFFF) or
             (kind == :int64 and value in -0x8000000000000000..0x7FFFFFFFFFFFFFFF),
      do: put_varint(value &&& 0xFFFFFFFFFFFFFFFF)

  def put(:sint32, value) when value in -0x80000000..0x7FFFFFFF,
    do: put_varint(bxor(value <<< 1, value >>> 31) &&& 0xFFFFFFFF)

  def put(:sint64, value) when value in -0x8000000000000000..0x7FFFFFFFFFFFFFFF,
    do: put_varint(bxor(value <<< 1, value >>> 63) &&& 0xFFFFFFFFFFFFFFFF)

  def put(:fixed64, value) when value in 0..0xFFFFFFFFFFFFFFFF, do: <<value::little-64>>
  def put(:fixed32, value) when value in 0..0xFFFFFFFF, do: <<value::little-32>>

  def put(:sfixed64, value) when value in -0x8000000000000000..0x7FFFFFFFFFFFFFFF,
    do: <<value::little-signed-64>>

  def put(:sfixed32, value) when value in -0x80000000..0x7FFFFFFF, do: <<value::little-signed-32>>
  def put(:double, value) when is_number(value), do: <<value::little-float-64>>
  def put(:double, :infinity), do: <<0::48, 0xF0, 0x7F>>
  def put(:double, :neg_infinity), do: <<0::48, 0xF0, 0xFF>>
  def put(:double, :nan), do: <<0::48, 0xF8, 0x7F>>
  def put(:float, value) when is_number(value), do: <<value::little-float-32>>
  def put(:float, :infinity), do: <<0, 0, 0x80, 0x7F>>
  def put(:float, :neg_infinity), do: <<0, 0, 0x80, 0xFF>>
  def put(:float, :nan), do: <<0, 0, 0xC0, 0x7F>>
  def put(kind, value), do: misfit(kind, value)

  defp misfit(kind, value) do
    raise ArgumentError, "a field of kind #{kind} cannot carry #{inspect(value, limit: 5)}"
  end
end
