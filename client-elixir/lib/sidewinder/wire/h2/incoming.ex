defmodule Sidewinder.Wire.H2.Incoming do
  @moduledoc """
  What the peer says, frame by frame: each is checked, does what it does to the machine, and is told as an event.

  Half a frame waits for its other half, bounded by the largest frame that we allow. A block of fields that is spread
  over several frames is bounded in bytes and in frames, and nothing else may come in between.
  """

  import Bitwise
  alias Sidewinder.Wire.{Frame, H2, Hpack}
  alias Sidewinder.Wire.H2.Outgoing

  @size_max 16_384
  # Frames of one block of fields.
  @continuations_max 64

  @end_stream 0x1
  @ack 0x1
  @end_headers 0x4
  @end_both 0x5
  @padded 0x8
  @priority 0x20

  @doc "Takes every whole frame; keeps what is left over."
  @spec frames(binary, H2.t()) :: H2.t()
  # A small answer comes as a whole nearly always, and is taken as a whole.
  def frames(
        <<head::24, 1, @end_headers, _::1, id::31, fields::binary-size(head), size::24, 0, 0, _::1, id::31,
          data::binary-size(size), tail::24, 1, @end_both, _::1, id::31, last::binary-size(tail),
          rest::binary>> = bytes,
        %{phase: :settled, block: nil} = machine
      )
      when head <= @size_max and size <= @size_max and tail <= @size_max do
    case answer(id, fields, data, last, machine) do
      {:ok, machine} -> frames(rest, machine)
      :unusual -> one(bytes, machine)
    end
  end

  def frames(bytes, machine), do: one(bytes, machine)

  defp one(
         <<size::24, type, flags, _::1, id::31, payload::binary-size(size), rest::binary>>,
         %{phase: phase} = machine
       )
       when size <= @size_max and phase != :broken,
       do: frames(rest, frame(type, flags, id, payload, machine))

  defp one(_, %{phase: :broken} = machine), do: machine

  defp one(<<size::24, _::binary>>, machine) when size > @size_max,
    do: broken(machine, :frame_size_error, "a frame of #{size} bytes")

  defp one(rest, machine), do: %{machine | rest: rest}

  # Its stream is looked for once, and not at each frame. Whatever is unusual is looked at frame by frame instead.
  defp answer(id, fields, data, last, %{fields_max: max} = machine)
       when byte_size(fields) <= max and byte_size(last) <= max do
    size = byte_size(data)

    with %{^id => %{stage: :fields, fin: :said, receive: window}} when size > 0 and size <= window <- machine.streams,
         {:ok, [{":status", <<digit, _::binary>>} | _] = fields, decoder} when digit != ?1 <-
           Hpack.decode(fields, machine.decoder, max),
         {:ok, last, decoder} <- Hpack.decode(last, decoder, max),
         {:ok, machine} <- arrived(machine, size) do
      told = [{:end, id}, {:fields, id, last, true}, {:data, id, data, size}, {:fields, id, fields, false}]
      {:ok, H2.forget(%{machine | decoder: decoder, events: told ++ machine.events}, id)}
    else
      _ -> :unusual
    end
  end

  defp answer(_, _, _, _, _), do: :unusual

  # The first frame must be SETTINGS, and inside a block of fields nothing else may come.
  defp frame(type, flags, _, _, %{phase: :greeting} = machine) when type != 4 or (flags &&& @ack) != 0,
    do: broken(machine, :protocol_error, "the first frame is not SETTINGS")

  defp frame(type, _, id, _, %{block: {open, _, _, _, _}} = machine) when type != 9 or id != open,
    do: broken(machine, :protocol_error, "a block of fields was interrupted")

  defp frame(0, flags, id, payload, machine), do: data(flags, id, payload, machine)
  defp frame(1, flags, id, payload, machine), do: headers(flags, id, payload, machine)
  defp frame(2, _, _, _, machine), do: machine
  defp frame(3, _, id, <<code::32>>, machine) when id != 0, do: was_reset(id, code, machine)
  defp frame(4, flags, 0, payload, machine), do: settings(flags, payload, machine)
  defp frame(5, _, _, _, machine), do: broken(machine, :protocol_error, "a push that we do not allow")
  defp frame(6, flags, 0, <<_::64>> = opaque, machine), do: ping(flags, opaque, machine)

  defp frame(7, _, 0, <<_::1, last::31, code::32, text::binary>>, m),
    do: away(last, Frame.code(code), text, m)

  defp frame(8, _, id, <<_::1, more::31>>, machine), do: window(id, more, machine)
  defp frame(9, flags, id, payload, machine), do: continuation(flags, id, payload, machine)

  defp frame(type, _, _, _, machine) when type in [3, 4, 6, 7, 8],
    do: broken(machine, :frame_size_error, "a frame of kind #{type} that is wrong in size or place")

  # Unknown kinds are for others.
  defp frame(_, _, _, _, machine), do: machine

  ## Data

  defp data(flags, id, payload, machine) do
    flow = byte_size(payload)

    with {:ok, bytes} <- unpadded(flags, payload),
         {:ok, machine} <- arrived(machine, flow) do
      case machine.streams do
        %{^id => stream} -> stream_data(flags, id, stream, bytes, flow, machine)
        _ -> late(id, machine)
      end
    else
      {:broken, code, why} -> broken(machine, code, why)
    end
  end

  # The window of the connection is refilled on receipt, in halves.
  defp arrived(%{receive_window: window}, flow) when flow > window,
    do: {:broken, :flow_control_error, "more data than the window of the connection"}

  defp arrived(%{receive_window: window, connection_window: full} = machine, flow) do
    left = window - flow

    if left * 2 > full,
      do: {:ok, %{machine | receive_window: left}},
      else: {:ok, H2.write(%{machine | receive_window: full}, Frame.window_update(0, full - left), 13)}
  end

  defp stream_data(_, id, %{stage: :fields}, _, _, machine), do: malformed(id, machine)

  defp stream_data(_, _, %{receive: window}, _, flow, machine) when flow > window,
    do: broken(machine, :flow_control_error, "more data than the window of a stream")

  defp stream_data(flags, id, stream, bytes, flow, machine) do
    machine = H2.keep(machine, id, %{stream | receive: stream.receive - flow})

    machine = if bytes == <<>>, do: H2.credit(machine, id, flow), else: H2.tell(machine, {:data, id, bytes, flow})

    if (flags &&& @end_stream) != 0, do: ended(id, machine), else: machine
  end

  # When the peer has said everything the call is over; what we had still to say is in vain.
  defp ended(id, machine) do
    machine = H2.tell(machine, {:end, id})

    case machine.streams do
      %{^id => %{fin: :said}} -> H2.forget(machine, id)
      _ -> H2.reset(machine, id, :cancel)
    end
  end

  defp was_reset(id, code, machine) do
    case machine.streams do
      %{^id => _} -> machine |> H2.forget(id) |> H2.tell({:reset, id, Frame.code(code)})
      _ -> late(id, machine)
    end
  end

  # A stream that once was may still be spoken of.
  defp late(id, %{next_id: next} = machine) when (id &&& 1) == 1 and id < next, do: machine
  defp late(id, machine), do: broken(machine, :protocol_error, "stream #{id} was never opened")

  defp malformed(id, machine),
    do: machine |> H2.reset(id, :protocol_error) |> H2.tell({:reset, id, :protocol_error})

  ## Fields

  defp headers(flags, id, payload, machine) do
    with {:ok, payload} <- unpadded(flags, payload),
         {:ok, part} <- unprioritised(flags, payload) do
      block(flags, {id, flags, [part], byte_size(part), 1}, machine)
    else
      {:broken, code, why} -> broken(machine, code, why)
    end
  end

  defp continuation(flags, _, part, %{block: {id, first, parts, size, count}} = machine),
    do: block(flags, {id, first, [parts | part], size + byte_size(part), count + 1}, machine)

  defp continuation(_, _, _, machine), do: broken(machine, :protocol_error, "a continuation of nothing")

  defp block(_, {_, _, _, size, count}, machine) when size > machine.fields_max or count > @continuations_max,
    do: broken(machine, :enhance_your_calm, "a block of fields is too large")

  defp block(flags, {id, first, parts, _, _} = block, machine) do
    if (flags &&& @end_headers) == 0 do
      %{machine | block: block}
    else
      case Hpack.decode(IO.iodata_to_binary(parts), machine.decoder, machine.fields_max) do
        {:ok, fields, decoder} ->
          fin = (first &&& @end_stream) != 0
          fields(id, fields, fin, %{machine | block: nil, decoder: decoder})

        {:error, why} ->
          broken(machine, :compression_error, why)
      end
    end
  end

  defp fields(id, fields, fin, machine) do
    case machine.streams do
      %{^id => stream} -> stream_fields(id, stream, fields, fin, machine)
      _ -> late(id, machine)
    end
  end

  # "One moment": not the answer yet.
  defp stream_fields(id, %{stage: :fields} = stream, [{":status", <<?1, _, _>>} | _], fin, machine) do
    if fin, do: malformed(id, machine), else: H2.keep(machine, id, stream)
  end

  defp stream_fields(id, %{stage: :fields} = stream, fields, fin, machine) do
    machine = machine |> H2.keep(id, %{stream | stage: :body}) |> H2.tell({:fields, id, fields, fin})
    if fin, do: ended(id, machine), else: machine
  end

  # A second block is trailers, and ends the stream.
  defp stream_fields(id, %{stage: :body}, fields, true, machine),
    do: ended(id, H2.tell(machine, {:fields, id, fields, true}))

  defp stream_fields(id, %{stage: :body}, _, false, machine), do: malformed(id, machine)

  defp unpadded(flags, payload) when (flags &&& @padded) == 0, do: {:ok, payload}

  defp unpadded(_, <<padding, rest::binary>>) when padding <= byte_size(rest),
    do: {:ok, binary_part(rest, 0, byte_size(rest) - padding)}

  defp unpadded(_, _), do: {:broken, :protocol_error, "more padding than frame"}

  defp unprioritised(flags, payload) when (flags &&& @priority) == 0, do: {:ok, payload}
  defp unprioritised(_, <<_::40, rest::binary>>), do: {:ok, rest}
  defp unprioritised(_, _), do: {:broken, :frame_size_error, "a priority is cut short"}

  ## The connection

  defp settings(flags, <<>>, machine) when (flags &&& @ack) != 0, do: machine

  defp settings(flags, payload, machine) when (flags &&& @ack) == 0 and rem(byte_size(payload), 6) == 0 do
    case settle(payload, machine) do
      {:broken, code, why} ->
        broken(machine, code, why)

      settled ->
        first = settled.phase == :greeting
        settled = H2.write(%{settled | phase: :settled}, Frame.settings_ack(), 9)
        if first, do: H2.tell(settled, :settled), else: H2.tell(settled, :room)
    end
  end

  defp settings(_, _, machine), do: broken(machine, :frame_size_error, "SETTINGS of a wrong size")

  defp settle(<<>>, machine), do: machine

  defp settle(<<id::16, value::32, rest::binary>>, machine) do
    case setting(id, value, machine) do
      %H2{} = machine -> settle(rest, machine)
      broken -> broken
    end
  end

  defp setting(1, size, machine), do: %{machine | encoder: Hpack.allow(machine.encoder, size)}
  defp setting(3, streams, machine), do: %{machine | peer: %{machine.peer | streams: streams}}

  defp setting(4, window, machine) when window <= 0x7FFF_FFFF do
    case Outgoing.shift(machine, window - machine.peer.window) do
      {:ok, machine} -> %{machine | peer: %{machine.peer | window: window}}
      :overflow -> {:broken, :flow_control_error, "a window beyond its bound"}
    end
  end

  defp setting(4, _, _), do: {:broken, :flow_control_error, "a window beyond its bound"}

  # Larger frames would only mean longer waits for others: the size that everybody takes is enough.
  defp setting(5, size, machine) when size in 16_384..16_777_215,
    do: %{machine | peer: %{machine.peer | frame: @size_max}}

  defp setting(5, _, _), do: {:broken, :protocol_error, "a frame size out of bounds"}
  defp setting(6, size, machine), do: %{machine | peer: %{machine.peer | fields: size}}
  defp setting(_, _, machine), do: machine

  defp ping(flags, opaque, machine) when (flags &&& @ack) != 0, do: H2.tell(machine, {:pong, opaque})
  defp ping(_, opaque, machine), do: H2.write(machine, Frame.ping_ack(opaque), 17)

  # Streams above the last one were not looked at: they may be tried elsewhere.
  defp away(last, code, text, machine) do
    gone = machine.streams |> Map.keys() |> Enum.filter(&(&1 > last)) |> Enum.sort()
    machine = H2.tell(%{machine | away: {last, code, text}}, {:away, code, text})
    Enum.reduce(gone, machine, fn id, machine -> machine |> H2.forget(id) |> H2.tell({:unprocessed, id}) end)
  end

  defp window(0, 0, machine), do: broken(machine, :protocol_error, "a window wider by nothing")

  defp window(id, 0, machine) when is_map_key(machine.streams, id), do: malformed(id, machine)

  defp window(id, more, machine) when id == 0 or is_map_key(machine.streams, id) do
    case Outgoing.widen(machine, id, more) do
      {:ok, machine} -> machine
      :overflow when id == 0 -> broken(machine, :flow_control_error, "a window beyond its bound")
      :overflow -> malformed(id, machine)
    end
  end

  defp window(id, _, machine), do: late(id, machine)

  defp broken(machine, code, why) do
    %{machine | phase: :broken, rest: <<>>, block: nil}
    |> H2.goaway(code, why)
    |> H2.tell({:broken, code, why})
  end
end
