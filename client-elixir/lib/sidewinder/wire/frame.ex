defmodule Sidewinder.Wire.Frame do
  @moduledoc """
  The frames of HTTP/2 as a client writes them (RFC 9113, section 4), and the numbers that frames carry.
  """

  import Bitwise

  @end_stream 0x1
  @end_headers 0x4
  @preface "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
  # Bytes in a frame, unless the peer allows more. We never allow more.
  @size_max 16_384

  @codes [
    no_error: 0,
    protocol_error: 1,
    internal_error: 2,
    flow_control_error: 3,
    settings_timeout: 4,
    stream_closed: 5,
    frame_size_error: 6,
    refused_stream: 7,
    cancel: 8,
    compression_error: 9,
    connect_error: 10,
    enhance_your_calm: 11,
    inadequate_security: 12,
    http_1_1_required: 13
  ]

  @type code :: atom | non_neg_integer

  @doc "What a client says first."
  @spec preface() :: binary
  def preface, do: @preface

  @doc "The size that every peer takes and that we take."
  @spec size_max() :: pos_integer
  def size_max, do: @size_max

  @doc "The number of an error."
  @spec number(code) :: non_neg_integer
  for {name, number} <- @codes, do: def(number(unquote(name)), do: unquote(number))
  def number(number) when is_integer(number), do: number

  @doc "The name of an error, or its number where it has none."
  @spec code(non_neg_integer) :: code
  for {name, number} <- @codes, do: def(code(unquote(number)), do: unquote(name))
  def code(number), do: number

  @doc "A block of fields; what is too large for a frame goes on in further ones."
  @spec headers(pos_integer, iodata, boolean, pos_integer) :: {iodata, non_neg_integer}
  def headers(id, block, fin, max) do
    flags = if fin, do: @end_stream, else: 0
    block = IO.iodata_to_binary(block)

    case block do
      <<part::binary-size(max), rest::binary>> when rest != <<>> ->
        {more, size} = continuation(id, rest, max)
        {[frame(1, flags, id, part) | more], max + 9 + size}

      _ ->
        {frame(1, flags ||| @end_headers, id, block), byte_size(block) + 9}
    end
  end

  defp continuation(id, block, max) do
    case block do
      <<part::binary-size(max), rest::binary>> when rest != <<>> ->
        {more, size} = continuation(id, rest, max)
        {[frame(9, 0, id, part) | more], max + 9 + size}

      _ ->
        {frame(9, @end_headers, id, block), byte_size(block) + 9}
    end
  end

  @doc "The nine bytes before so many bytes of a message."
  @spec data_head(pos_integer, non_neg_integer, boolean) :: binary
  def data_head(id, size, false), do: <<size::24, 0, 0, id::32>>
  def data_head(id, size, true), do: <<size::24, 0, @end_stream, id::32>>

  @spec reset(pos_integer, code) :: binary
  def reset(id, code), do: <<4::24, 3, 0, id::32, number(code)::32>>

  @spec settings([{1..6, non_neg_integer}]) :: iodata
  def settings(settings),
    do: frame(4, 0, 0, for({id, value} <- settings, into: <<>>, do: <<id::16, value::32>>))

  @spec settings_ack() :: binary
  def settings_ack, do: <<0::24, 4, 1, 0::32>>

  @spec ping(<<_::64>>) :: binary
  def ping(opaque), do: <<8::24, 6, 0, 0::32, opaque::binary>>

  @spec ping_ack(<<_::64>>) :: binary
  def ping_ack(opaque), do: <<8::24, 6, 1, 0::32, opaque::binary>>

  @spec goaway(non_neg_integer, code, binary) :: iodata
  def goaway(last, code, text), do: frame(7, 0, 0, <<last::32, number(code)::32, text::binary>>)

  @spec window_update(non_neg_integer, pos_integer) :: binary
  def window_update(id, more), do: <<4::24, 8, 0, id::32, more::32>>

  defp frame(type, flags, id, payload), do: [<<byte_size(payload)::24, type, flags, id::32>> | payload]
end
