defmodule Sidewinder.Wire.H2 do
  @moduledoc """
  One HTTP/2 connection of a client, as a pure machine: bytes in, events and bytes out. It owns no socket, no clock and
  no process.

      {events, machine} = H2.receive(machine, bytes)    what the peer said
      {id, machine} = H2.open(machine, fields, …)       what we say
      {events, bytes, machine} = H2.take(machine)       what came of it

  Three things are easily got wrong, and shape it:

  - **A stream that is over is not forgotten by the peer.** Its fields may still come, and are decoded, because the table
    of the connection changes with them. Its data may still come, and counts against the window of the connection. So
    whatever names a stream that once was is taken and dropped; only a stream that never was breaks the connection.
  - **Two windows have two owners.** That of the connection is refilled when bytes arrive, so that a slow reader holds up
    nobody else; that of a stream when its reader has consumed them (`credit/3`), so that it holds up its own writer. A
    connection therefore holds at most streams × window bytes that nobody has read.
  - **The end of a stream weighs nothing.** It is said in an empty frame when the window is used up.

  After a violation by the peer the machine is `:broken`: it has said GOAWAY, and takes nothing more. Pushed streams are
  refused by our settings; priorities are ignored.
  """

  alias Sidewinder.Wire.{Frame, Hpack}
  alias Sidewinder.Wire.H2.{Incoming, Outgoing}

  @window_max 0x7FFF_FFFF
  @id_max 0x7FFF_FFFF
  @default_window 65_535

  defstruct phase: :greeting,
            rest: <<>>,
            block: nil,
            out: [],
            out_size: 0,
            events: [],
            decoder: nil,
            encoder: nil,
            streams: %{},
            next_id: 1,
            send_window: @default_window,
            blocked: [],
            fresh: [],
            receive_window: 0,
            window: 0,
            connection_window: 0,
            fields_max: 0,
            peer: %{window: @default_window, frame: 16_384, streams: :infinity, fields: :infinity},
            away: nil

  @type t :: %__MODULE__{}
  @type id :: pos_integer
  @type event ::
          :settled
          | {:fields, id, [Hpack.field()], boolean}
          | {:data, id, binary, non_neg_integer}
          | {:end, id}
          | {:sent, id, pos_integer}
          | {:reset, id, Frame.code()}
          | {:unprocessed, id}
          | {:pong, <<_::64>>}
          | {:away, Frame.code(), binary}
          | {:broken, Frame.code(), String.t()}

  @doc """
  A machine that has greeted. `window`: bytes a stream may hold unread; `connection_window`: bytes in flight for all
  streams together; `fields_max`: bytes of fields in one block, decoded.
  """
  @spec new(keyword) :: t
  def new(opts) do
    window = opts |> Keyword.fetch!(:window) |> min(@window_max)
    whole = opts |> Keyword.fetch!(:connection_window) |> max(@default_window) |> min(@window_max)
    fields = Keyword.fetch!(opts, :fields_max)

    %__MODULE__{
      decoder: Hpack.new(),
      encoder: Hpack.new(),
      window: window,
      receive_window: whole,
      connection_window: whole,
      fields_max: fields
    }
    |> write([Frame.preface(), Frame.settings([{2, 0}, {4, window}, {6, fields}])], 51)
    |> widen(whole - @default_window)
  end

  defp widen(machine, 0), do: machine
  defp widen(machine, more), do: write(machine, Frame.window_update(0, more), 13)

  @doc "What the peer said."
  @spec receive(t, binary) :: t
  def receive(%{phase: :broken} = machine, _), do: machine
  def receive(%{rest: <<>>} = machine, bytes), do: Incoming.frames(bytes, machine)

  # Of what came, a frame that had begun gets what it lacks: a copy of all the rest would cost more than that of the frame.
  def receive(%{rest: <<size::24, _::binary>> = begun} = machine, bytes) do
    missing = size + 9 - byte_size(begun)

    case bytes do
      <<last::binary-size(missing), later::binary>> ->
        Incoming.frames(later, Incoming.frames(begun <> last, %{machine | rest: <<>>}))

      _ ->
        %{machine | rest: begun <> bytes}
    end
  end

  def receive(%{rest: begun} = machine, bytes), do: Incoming.frames(begun <> bytes, %{machine | rest: <<>>})

  @doc "What happened since the last time, in order, and the bytes to be written."
  @spec take(t) :: {[event], iodata, t}
  def take(machine) do
    {out, machine} = take_out(machine)
    {events, machine} = take_events(machine)
    {events, out, machine}
  end

  @doc "What happened since the last time, in order."
  @spec take_events(t) :: {[event], t}
  def take_events(%{events: []} = machine), do: {[], machine}
  def take_events(%{events: events} = machine), do: {Enum.reverse(events), %{machine | events: []}}

  @doc "The bytes to be written."
  @spec take_out(t) :: {iodata, t}
  def take_out(machine) do
    machine = Outgoing.cut(machine)
    {machine.out, %{machine | out: [], out_size: 0}}
  end

  @doc "About how many bytes there are to be written. What the peer does not take yet does not count."
  @spec out_size(t) :: non_neg_integer
  def out_size(%{fresh: [], out_size: size}), do: size
  def out_size(machine), do: Enum.reduce(machine.fresh, machine.out_size + 1, &(&2 + pending_size(machine.streams, &1)))

  defp pending_size(streams, id) do
    case streams do
      %{^id => %{pending_size: size}} -> size
      _ -> 0
    end
  end

  @doc "Whether a further stream may be opened now, or ever."
  @spec room(t) :: :yes | :later | :never
  def room(%{phase: phase}) when phase != :settled, do: if(phase == :greeting, do: :later, else: :never)
  def room(%{away: away}) when away != nil, do: :never
  def room(%{next_id: id}) when id > @id_max, do: :never
  def room(machine), do: if(map_size(machine.streams) < machine.peer.streams, do: :yes, else: :later)

  @doc """
  Opens a stream, and perhaps says all there is to say. Its fields are some that come again and again under a name, and
  others.
  """
  @spec open(t, {term, [written]}, [written], [binary], non_neg_integer, boolean) :: {id, t}
        when written: {Hpack.mode(), binary, binary}
  def open(machine, {key, known}, fields, pieces, size, fin) do
    {first, encoder} = Hpack.encode_known(key, known, machine.encoder)
    {block, encoder} = if fields == [], do: {first, encoder}, else: more(fields, first, encoder)
    id = machine.next_id
    machine = %{machine | encoder: encoder, next_id: id + 2}
    {frames, bytes} = Frame.headers(id, block, fin and size == 0, machine.peer.frame)
    {id, begin(machine, id, frames, bytes, pieces, size, fin)}
  end

  # Most say everything at once, and it goes at once.
  defp begin(%{blocked: [], peer: peer, send_window: whole} = machine, id, frames, bytes, pieces, size, true)
       when size > 0 and size <= peer.window and size <= whole and size <= peer.frame do
    stream = stream(machine, false, peer.window - size, :said)

    %{machine | streams: Map.put(machine.streams, id, stream), send_window: whole - size}
    |> write([frames, Frame.data_head(id, size, true) | pieces], bytes + size + 9)
  end

  defp begin(machine, id, frames, bytes, pieces, size, fin) do
    stream = stream(machine, not fin, machine.peer.window, if(fin and size == 0, do: :said, else: :open))
    machine = write(%{machine | streams: Map.put(machine.streams, id, stream)}, frames, bytes)
    if size > 0, do: machine |> send_data(id, pieces, size, fin) |> Outgoing.cut(), else: machine
  end

  # Whoever has said everything at once waits for nothing, and is not told what went.
  defp stream(machine, told, window, fin) do
    %{
      stage: :fields,
      send: window,
      receive: machine.window,
      owed: 0,
      told: told,
      pending: :queue.new(),
      pending_size: 0,
      fin: fin
    }
  end

  defp more(fields, first, encoder) do
    {rest, encoder} = Hpack.encode(fields, encoder)
    {[first | rest], encoder}
  end

  @doc "Says more on a stream: pieces that are `size` bytes together, and whether that was all. Dropped if it is over."
  @spec send_data(t, id, [binary], non_neg_integer, boolean) :: t
  defdelegate send_data(machine, id, pieces, size, fin), to: Outgoing, as: :say

  @doc "Gives up a stream."
  @spec reset(t, id, Frame.code()) :: t
  def reset(machine, id, code) when is_map_key(machine.streams, id),
    do: machine |> write(Frame.reset(id, code), 13) |> forget(id)

  def reset(machine, _, _), do: machine

  @doc "The reader of a stream has consumed so many bytes."
  @spec credit(t, id, non_neg_integer) :: t
  def credit(machine, id, bytes) do
    case machine.streams do
      %{^id => %{owed: owed, receive: window} = stream} ->
        owed = owed + bytes

        if owed * 4 >= machine.window do
          stream = %{stream | owed: 0, receive: window + owed}
          write(keep(machine, id, stream), Frame.window_update(id, owed), 13)
        else
          keep(machine, id, %{stream | owed: owed})
        end

      _ ->
        machine
    end
  end

  @doc "Asks whether the peer is there; `{:pong, opaque}` comes back."
  @spec ping(t, <<_::64>>) :: t
  def ping(machine, opaque), do: write(machine, Frame.ping(opaque), 17)

  @doc "Says goodbye."
  @spec goaway(t, Frame.code(), binary) :: t
  def goaway(machine, code, text), do: write(machine, Frame.goaway(0, code, text), 17 + byte_size(text))

  @doc false
  def write(machine, bytes, size),
    do: %{machine | out: [machine.out | bytes], out_size: machine.out_size + size}

  @doc false
  def tell(machine, event), do: %{machine | events: [event | machine.events]}

  @doc false
  def keep(machine, id, stream), do: %{machine | streams: %{machine.streams | id => stream}}

  @doc false
  def forget(machine, id) do
    blocked = if machine.blocked == [], do: [], else: List.delete(machine.blocked, id)
    %{machine | streams: Map.delete(machine.streams, id), blocked: blocked}
  end
end
