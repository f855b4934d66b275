defmodule Sidewinder.Value.MessagePack do
  @moduledoc """
  MessagePack: every family of the format, with timestamps as the only extension.

  The other end is the Python runtime of Sidewinder, and the two say the same about every value; a test lets each read
  what the other has written. `Sidewinder.Value` tells what becomes of which value.

  A length that lies costs nothing, because nothing is reserved ahead of what was read. Depth is bounded on both ways.

      iex> {:ok, packed} = Sidewinder.Value.MessagePack.encode(%{name: "Ada", scores: [1, 2.5]})
      iex> Sidewinder.Value.MessagePack.decode(IO.iodata_to_binary(packed))
      {:ok, %{"name" => "Ada", "scores" => [1, 2.5]}}
      iex> Sidewinder.Value.MessagePack.encode(%{born: {1815, 12}})
      {:error, "born: a tuple has no counterpart: make it a list"}
  """
  @behaviour Sidewinder.Value

  alias Sidewinder.Codec.Text
  alias Sidewinder.Value.{Bytes, Misfit, Unpacking}

  @depth_max 128
  @integer_max 0xFFFFFFFFFFFFFFFF
  @integer_min -0x8000000000000000

  @doc "How deep values may be nested."
  @spec depth_max() :: pos_integer
  def depth_max, do: @depth_max

  @impl true
  def content_type, do: "application/msgpack"

  @impl true
  def encode(value) do
    {:ok, pack(value, 0)}
  catch
    :misfit -> {:error, Misfit.sentence(value, &refuse/1, @depth_max + 1)}
  end

  @impl true
  def decode(data), do: Unpacking.value(data, @depth_max)

  defp pack(nil, _depth), do: <<0xC0>>
  defp pack(false, _depth), do: <<0xC2>>
  defp pack(true, _depth), do: <<0xC3>>
  defp pack(value, _depth) when is_binary(value), do: text(value)
  defp pack(value, _depth) when is_integer(value), do: integer(value)
  defp pack(value, _depth) when is_float(value), do: <<0xCB, value::float-64>>
  defp pack(:nan, _depth), do: <<0xCB, 0x7FF8000000000000::64>>
  defp pack(:infinity, _depth), do: <<0xCB, 0x7FF0000000000000::64>>
  defp pack(:neg_infinity, _depth), do: <<0xCB, 0xFFF0000000000000::64>>
  defp pack(value, _depth) when is_atom(value), do: text(Atom.to_string(value))
  defp pack(_value, @depth_max), do: throw(:misfit)

  defp pack(value, depth) when is_list(value), do: list(value, depth + 1)
  defp pack(%DateTime{} = moment, _depth), do: moment(moment)
  defp pack(%Bytes{data: data}, _depth), do: bytes(data)
  defp pack(%_{}, _depth), do: throw(:misfit)
  defp pack(value, depth) when is_map(value), do: map(value, depth + 1)
  defp pack(_value, _depth), do: throw(:misfit)

  defp text(value) do
    if Text.valid?(value), do: [text_head(byte_size(value)), value], else: throw(:misfit)
  end

  defp text_head(size) when size < 32, do: <<0b101::3, size::5>>
  defp text_head(size) when size < 0x100, do: <<0xD9, size>>
  defp text_head(size) when size < 0x10000, do: <<0xDA, size::16>>
  defp text_head(size) when size < 0x100000000, do: <<0xDB, size::32>>
  defp text_head(_size), do: throw(:misfit)

  defp bytes(data) do
    data = IO.iodata_to_binary(data)
    [bytes_head(byte_size(data)), data]
  rescue
    ArgumentError -> throw(:misfit)
  end

  defp bytes_head(size) when size < 0x100, do: <<0xC4, size>>
  defp bytes_head(size) when size < 0x10000, do: <<0xC5, size::16>>
  defp bytes_head(size) when size < 0x100000000, do: <<0xC6, size::32>>
  defp bytes_head(_size), do: throw(:misfit)

  defp integer(value) when value >= 0 and value < 128, do: <<value>>
  defp integer(value) when value < 0 and value >= -32, do: <<value::signed-8>>
  defp integer(value) when value >= 0 and value < 0x100, do: <<0xCC, value>>
  defp integer(value) when value >= 0 and value < 0x10000, do: <<0xCD, value::16>>
  defp integer(value) when value >= 0 and value < 0x100000000, do: <<0xCE, value::32>>
  defp integer(value) when value >= 0 and value <= @integer_max, do: <<0xCF, value::64>>
  defp integer(value) when value < 0 and value >= -0x80, do: <<0xD0, value::signed-8>>
  defp integer(value) when value < 0 and value >= -0x8000, do: <<0xD1, value::signed-16>>
  defp integer(value) when value < 0 and value >= -0x80000000, do: <<0xD2, value::signed-32>>
  defp integer(value) when value < 0 and value >= @integer_min, do: <<0xD3, value::signed-64>>
  defp integer(_value), do: throw(:misfit)

  defp list(items, depth) do
    {packed, count} = items(items, depth, 0, [])
    [list_head(count) | :lists.reverse(packed)]
  end

  defp items([item | rest], depth, count, packed), do: items(rest, depth, count + 1, [pack(item, depth) | packed])
  defp items([], _depth, count, packed), do: {packed, count}
  defp items(_improper, _depth, _count, _packed), do: throw(:misfit)

  defp list_head(count) when count < 16, do: <<0b1001::4, count::4>>
  defp list_head(count) when count < 0x10000, do: <<0xDC, count::16>>
  defp list_head(count) when count < 0x100000000, do: <<0xDD, count::32>>
  defp list_head(_count), do: throw(:misfit)

  defp map(entries, depth) do
    {packed, mixed} = :maps.fold(&entry(&1, &2, &3, depth), {[], 0}, entries)
    if mixed == 3 and Misfit.plainly(entries) != nil, do: throw(:misfit)
    [map_head(map_size(entries)) | packed]
  end

  # Only a map that has both atoms (1) and text (2) as keys can have one twice.
  defp entry(key, value, {packed, kinds}, depth) when is_atom(key),
    do: {[pack(key, depth), pack(value, depth) | packed], Bitwise.bor(kinds, 1)}

  defp entry(key, value, {packed, kinds}, depth) when is_binary(key),
    do: {[text(key), pack(value, depth) | packed], Bitwise.bor(kinds, 2)}

  defp entry(key, value, {packed, kinds}, depth) when is_number(key),
    do: {[pack(key, depth), pack(value, depth) | packed], kinds}

  defp entry(_key, _value, _packed, _depth), do: throw(:misfit)

  defp map_head(count) when count < 16, do: <<0b1000::4, count::4>>
  defp map_head(count) when count < 0x10000, do: <<0xDE, count::16>>
  defp map_head(count) when count < 0x100000000, do: <<0xDF, count::32>>
  defp map_head(_count), do: throw(:misfit)

  defp moment(moment) do
    since = DateTime.to_unix(moment, :microsecond)
    seconds = Integer.floor_div(since, 1_000_000)
    nanos = Integer.mod(since, 1_000_000) * 1000

    cond do
      seconds >= 0 and seconds < 0x100000000 and nanos == 0 -> <<0xD6, 0xFF, seconds::32>>
      seconds >= 0 and seconds < 0x400000000 -> <<0xD7, 0xFF, nanos::30, seconds::34>>
      true -> <<0xC7, 12, 0xFF, nanos::32, seconds::signed-64>>
    end
  end

  defp refuse(value) when is_integer(value) and (value > @integer_max or value < @integer_min),
    do: "an integer of more than 64 bits"

  defp refuse(%Bytes{data: data}) do
    _size = IO.iodata_length(data)
    nil
  rescue
    ArgumentError -> "bytes that are neither a binary nor iodata"
  end

  defp refuse(value), do: Misfit.plainly(value)
end
