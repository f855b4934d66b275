defmodule Sidewinder.Bytes do
  @moduledoc """
  HTTP/2 as a server writes and reads it, for tests: frames to bytes and bytes to frames, both as plain as the RFC says
  them, so that a mistake of the client is not made a second time here.
  """

  alias Sidewinder.Wire.Hpack

  @preface "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

  @spec frame(0..255, 0..255, non_neg_integer, iodata) :: binary
  def frame(type, flags, id, payload) do
    payload = IO.iodata_to_binary(payload)
    <<byte_size(payload)::24, type, flags, 0::1, id::31, payload::binary>>
  end

  @spec settings(keyword) :: binary
  def settings(settings \\ []) do
    numbers = [table: 1, push: 2, streams: 3, window: 4, frame: 5, fields: 6]
    frame(4, 0, 0, for({name, value} <- settings, do: <<numbers[name]::16, value::32>>))
  end

  def settings_ack, do: frame(4, 1, 0, "")
  def data(id, bytes, fin \\ false), do: frame(0, if(fin, do: 1, else: 0), id, bytes)
  def reset(id, code), do: frame(3, 0, id, <<code::32>>)
  def goaway(last, code \\ 0, text \\ ""), do: frame(7, 0, 0, [<<last::32, code::32>>, text])
  def window(id, more), do: frame(8, 0, id, <<more::32>>)
  def ping(opaque, ack \\ false), do: frame(6, if(ack, do: 1, else: 0), 0, opaque)

  @doc "A message as gRPC frames it."
  def message(bytes), do: <<0, byte_size(bytes)::32, bytes::binary>>

  @doc "A block of fields; every field goes into the table, so that a block that is not decoded breaks what follows."
  @spec fields(pos_integer, [{binary, binary}], boolean, Hpack.t()) :: {binary, Hpack.t()}
  def fields(id, fields, fin, table) do
    {block, table} = Hpack.encode(for({name, value} <- fields, do: {:index, name, value}), table)
    {frame(1, if(fin, do: 5, else: 4), id, block), table}
  end

  @begun [{":status", "200"}, {"content-type", "application/grpc"}]

  @doc "A whole answer: fields, one message, trailers."
  def answer(id, bytes, table, more \\ []) do
    {head, table} = fields(id, @begun ++ more, false, table)
    {tail, table} = fields(id, [{"grpc-status", "0"}], true, table)
    {head <> data(id, message(bytes)) <> tail, table}
  end

  @doc "An answer that has no message: a status and nothing else."
  def refusal(id, code, text, table),
    do: fields(id, @begun ++ [{"grpc-status", "#{code}"}, {"grpc-message", text}], true, table)

  def begun, do: @begun

  @doc "Frames of a client: those that are whole, and what is left."
  def parse(bytes, table), do: parse(bytes, table, [])

  defp parse(@preface <> rest, table, frames), do: parse(rest, table, [:preface | frames])

  defp parse(<<size::24, type, flags, _::1, id::31, payload::binary-size(size), rest::binary>>, table, frames) do
    {frame, table} = read(type, flags, id, payload, table)
    parse(rest, table, [frame | frames])
  end

  defp parse(rest, table, frames), do: {Enum.reverse(frames), rest, table}

  defp read(0, flags, id, bytes, table), do: {{:data, id, bytes, flags == 1}, table}

  defp read(1, flags, id, block, table) when flags in [4, 5] do
    {:ok, fields, table} = Hpack.decode(block, table, 1_000_000)
    {{:fields, id, fields, flags == 5}, table}
  end

  defp read(3, 0, id, <<code::32>>, table), do: {{:reset, id, code}, table}
  defp read(4, 1, 0, "", table), do: {:settings_ack, table}
  defp read(4, 0, 0, payload, table), do: {{:settings, for(<<id::16, value::32 <- payload>>, do: {id, value})}, table}
  defp read(6, 1, 0, opaque, table), do: {{:pong, opaque}, table}
  defp read(6, 0, 0, opaque, table), do: {{:ping, opaque}, table}
  defp read(7, 0, 0, <<last::32, code::32, text::binary>>, table), do: {{:goaway, last, code, text}, table}
  defp read(8, 0, id, <<more::32>>, table), do: {{:window, id, more}, table}
  # A block in parts: the tests put the parts together themselves.
  defp read(type, flags, id, part, table) when type in [1, 9], do: {{:part, type, flags, id, part}, table}
end
