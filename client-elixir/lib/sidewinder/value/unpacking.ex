defmodule Sidewinder.Value.Unpacking do
  @moduledoc """
  The reading half of MessagePack.

  It believes nothing: lengths are checked against what is there, depth is bounded, texts have to be UTF-8. No atom is
  made but the few that are written here. Texts and bytes are copied out of the message when they are a small part of it,
  so that one that is kept does not keep the whole message.
  """

  alias Sidewinder.Codec.Text

  @copy_below 64
  @nanos_max 999_999_999
  # The years 1 to 9999, which is what Python knows.
  @moments -62_135_596_800..253_402_300_799

  @doc "The value in `data`, and nothing behind it."
  @spec value(binary, pos_integer) :: {:ok, term} | {:error, String.t()}
  def value(data, depth_max) do
    case take(data, depth_max) do
      {value, <<>>} -> {:ok, value}
      {_, rest} -> {:error, "not MessagePack: #{byte_size(rest)} bytes follow the value"}
    end
  catch
    {:unpacking, what} -> {:error, what}
  end

  defp take(<<0::1, value::7, rest::binary>>, _left), do: {value, rest}
  defp take(<<0b111::3, value::5, rest::binary>>, _left), do: {value - 32, rest}
  defp take(<<0b101::3, size::5, rest::binary>>, _left), do: text(rest, size)
  defp take(<<0b1000::4, count::4, rest::binary>>, left), do: map(rest, count, left)
  defp take(<<0b1001::4, count::4, rest::binary>>, left), do: list(rest, count, left)
  defp take(<<0xC0, rest::binary>>, _left), do: {nil, rest}
  defp take(<<0xC2, rest::binary>>, _left), do: {false, rest}
  defp take(<<0xC3, rest::binary>>, _left), do: {true, rest}
  defp take(<<0xC4, size::8, rest::binary>>, _left), do: bytes(rest, size)
  defp take(<<0xC5, size::16, rest::binary>>, _left), do: bytes(rest, size)
  defp take(<<0xC6, size::32, rest::binary>>, _left), do: bytes(rest, size)
  defp take(<<0xC7, size::8, code::signed-8, rest::binary>>, _left), do: extension(rest, size, code)
  defp take(<<0xC8, size::16, code::signed-8, rest::binary>>, _left), do: extension(rest, size, code)
  defp take(<<0xC9, size::32, code::signed-8, rest::binary>>, _left), do: extension(rest, size, code)
  defp take(<<0xCA, bits::binary-size(4), rest::binary>>, _left), do: {single(bits), rest}
  defp take(<<0xCB, bits::binary-size(8), rest::binary>>, _left), do: {double(bits), rest}
  defp take(<<0xCC, value::8, rest::binary>>, _left), do: {value, rest}
  defp take(<<0xCD, value::16, rest::binary>>, _left), do: {value, rest}
  defp take(<<0xCE, value::32, rest::binary>>, _left), do: {value, rest}
  defp take(<<0xCF, value::64, rest::binary>>, _left), do: {value, rest}
  defp take(<<0xD0, value::signed-8, rest::binary>>, _left), do: {value, rest}
  defp take(<<0xD1, value::signed-16, rest::binary>>, _left), do: {value, rest}
  defp take(<<0xD2, value::signed-32, rest::binary>>, _left), do: {value, rest}
  defp take(<<0xD3, value::signed-64, rest::binary>>, _left), do: {value, rest}
  defp take(<<0xD4, code::signed-8, rest::binary>>, _left), do: extension(rest, 1, code)
  defp take(<<0xD5, code::signed-8, rest::binary>>, _left), do: extension(rest, 2, code)
  defp take(<<0xD6, code::signed-8, rest::binary>>, _left), do: extension(rest, 4, code)
  defp take(<<0xD7, code::signed-8, rest::binary>>, _left), do: extension(rest, 8, code)
  defp take(<<0xD8, code::signed-8, rest::binary>>, _left), do: extension(rest, 16, code)
  defp take(<<0xD9, size::8, rest::binary>>, _left), do: text(rest, size)
  defp take(<<0xDA, size::16, rest::binary>>, _left), do: text(rest, size)
  defp take(<<0xDB, size::32, rest::binary>>, _left), do: text(rest, size)
  defp take(<<0xDC, count::16, rest::binary>>, left), do: list(rest, count, left)
  defp take(<<0xDD, count::32, rest::binary>>, left), do: list(rest, count, left)
  defp take(<<0xDE, count::16, rest::binary>>, left), do: map(rest, count, left)
  defp take(<<0xDF, count::32, rest::binary>>, left), do: map(rest, count, left)
  defp take(<<0xC1, _::binary>>, _left), do: fault("not MessagePack: no value begins with 0xc1")
  defp take(_, _left), do: fault("not MessagePack: it ends too early")

  defp text(data, size) do
    case data do
      <<text::binary-size(size), rest::binary>> ->
        if Text.valid?(text), do: {own(text), rest}, else: fault("not MessagePack: a text that is not UTF-8")

      _ ->
        missing(size, data)
    end
  end

  defp bytes(data, size) do
    case data do
      <<bytes::binary-size(size), rest::binary>> -> {own(bytes), rest}
      _ -> missing(size, data)
    end
  end

  defp own(part) when byte_size(part) <= @copy_below, do: :binary.copy(part)
  defp own(part), do: if(:binary.referenced_byte_size(part) > 2 * byte_size(part), do: :binary.copy(part), else: part)

  defp missing(size, data), do: fault("not MessagePack: #{size - byte_size(data)} bytes are missing at the end")

  defp list(_data, _count, 0), do: deep()
  defp list(data, count, left), do: items(data, count, left - 1, [])

  defp items(data, 0, _left, items), do: {:lists.reverse(items), data}

  defp items(data, count, left, items) do
    {item, rest} = take(data, left)
    items(rest, count - 1, left, [item | items])
  end

  defp map(_data, _count, 0), do: deep()
  defp map(data, count, left), do: entries(data, count, left - 1, [])

  defp entries(data, 0, _left, entries), do: {:maps.from_list(:lists.reverse(entries)), data}

  defp entries(data, count, left, entries) do
    {key, rest} = take(data, left)
    {value, rest} = take(rest, left)
    if is_list(key) or (is_map(key) and not is_struct(key)), do: fault("not usable: an array or a map as a key")
    entries(rest, count - 1, left, [{key, value} | entries])
  end

  # The BEAM has no floats that are not numbers.
  defp double(<<value::float-64>>), do: value
  defp double(<<0x7FF0000000000000::64>>), do: :infinity
  defp double(<<0xFFF0000000000000::64>>), do: :neg_infinity
  defp double(_), do: :nan
  defp single(<<value::float-32>>), do: value
  defp single(<<0x7F800000::32>>), do: :infinity
  defp single(<<0xFF800000::32>>), do: :neg_infinity
  defp single(_), do: :nan

  defp extension(data, size, code) do
    case data do
      <<content::binary-size(size), rest::binary>> when code == -1 ->
        {timestamp(content), rest}

      <<_::binary-size(size), _::binary>> ->
        fault("not usable: an extension of type #{code}, only timestamps are known")

      _ ->
        missing(size, data)
    end
  end

  defp timestamp(<<seconds::32>>), do: moment(seconds, 0)
  defp timestamp(<<nanos::30, seconds::34>>), do: moment(seconds, nanos)
  defp timestamp(<<nanos::32, seconds::signed-64>>), do: moment(seconds, nanos)
  defp timestamp(content), do: fault("not MessagePack: a timestamp of #{byte_size(content)} bytes")

  defp moment(_seconds, nanos) when nanos > @nanos_max,
    do: fault("not MessagePack: a timestamp with more than a second of nanoseconds")

  defp moment(seconds, _nanos) when seconds not in @moments,
    do: fault("not usable: a timestamp outside the years 1 to 9999")

  defp moment(seconds, nanos), do: DateTime.from_unix!(seconds * 1_000_000 + div(nanos, 1000), :microsecond)

  defp deep, do: fault("nested deeper than #{Sidewinder.Value.MessagePack.depth_max()}")
  defp fault(what), do: throw({:unpacking, what})
end
