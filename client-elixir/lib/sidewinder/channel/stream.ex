defmodule Sidewinder.Channel.Stream do
  @moduledoc """
  One call whose messages come and go one by one.

  It belongs to the process that opened it: only that one may receive, and its end cancels the call. Any process may
  send, finish and cancel.

  **Receiving.** What has arrived and was not asked for yet lies with the owner, at most one window of it. The window
  opens again when messages are consumed; of a message that is larger than the window, what has arrived counts as
  consumed, because the rest could not come otherwise.

  **Sending.** `say/4` returns as long as no more than `ahead/0` bytes wait to be written, and holds its caller up
  otherwise: that is how a slow server holds up a fast writer. The count is shared between writers and connection, so
  that a writer that need not wait asks nobody.
  """

  alias Sidewinder.Channel.{Attempt, Unread}
  alias Sidewinder.Connection
  alias Sidewinder.Wire.{Grpc, Status}

  # Bytes that may wait to be written.
  @ahead 65_536
  # Places in the shared count: bytes that wait, whether the call has ended, whether the writers have finished.
  @unsent 1
  @ended 2
  @finished 3

  defstruct [:ref, :connection, :deadline, :max, :window, :shared, :fuse, :under]

  @type t :: %__MODULE__{}

  @doc "How many bytes may wait to be written before a writer does."
  @spec ahead() :: pos_integer
  def ahead, do: @ahead

  @doc "The connection wrote so many bytes; tells how many wait still."
  @spec wrote(:atomics.atomics_ref(), non_neg_integer) :: integer
  def wrote(shared, bytes), do: :atomics.sub_get(shared, @unsent, bytes)

  @doc "The connection has ended the call."
  @spec ended(:atomics.atomics_ref()) :: :ok
  def ended(shared), do: :atomics.put(shared, @ended, 1)

  @doc "Opens a stream on a connection."
  @spec open(pid, map, timeout) :: {:ok, t} | {:error | :unsent, Status.t()}
  def open(connection, request, timeout) do
    ref = :erlang.monitor(:process, connection, alias: :demonitor)
    shared = :atomics.new(3, signed: true)
    :atomics.put(shared, @unsent, request.size)
    if request.fin, do: :atomics.put(shared, @finished, 1)
    Connection.call(connection, ref, :stream, Map.put(request, :shared, shared))

    receive do
      {^ref, :opened} ->
        :erlang.put(ref, <<>>)
        put(ref, %{rest: [], missing: 0, owed: 0, ended: nil})

        {:ok,
         struct!(
           __MODULE__,
           Map.merge(Map.take(request, [:deadline, :max, :window, :fuse, :under]), %{
             ref: ref,
             connection: connection,
             shared: shared
           })
         )}

      {^ref, {:error, status}} ->
        leave(ref)
        Attempt.ending(status)

      {:DOWN, ^ref, _, _, why} ->
        Attempt.ending(Connection.ended(why))
    after
      timeout ->
        Connection.cancel(connection, ref, :quietly)
        leave(ref)
        {:error, Status.unsent(:deadline_exceeded, "the deadline passed before the call could be sent")}
    end
  end

  ## Sending

  @doc "Says a message, or nothing, and whether that was all; waits while too much waits to be written."
  @spec say(t, [binary], non_neg_integer, boolean) :: :ok | {:error, Status.t()}
  def say(%{shared: shared, connection: connection} = stream, pieces, size, fin) do
    cond do
      :atomics.get(shared, @ended) == 1 ->
        {:error, ending(stream)}

      not Process.alive?(connection) ->
        {:error, ending(stream)}

      :atomics.get(shared, @finished) == 1 or (fin and :atomics.exchange(shared, @finished, 1) == 1) ->
        {:error, Status.lost(:failed_precondition, "the stream was finished before", :client)}

      true ->
        waiting = :atomics.add_get(shared, @unsent, size)
        Connection.say(connection, stream.ref, pieces, size, fin)
        if waiting <= @ahead, do: :ok, else: room(stream)
    end
  end

  defp room(%{ref: call, connection: connection} = stream) do
    ref = Attempt.monitor(connection)
    Connection.room(connection, call, ref)

    receive do
      {^ref, :room} -> :ok
      {^ref, {:error, status}} -> {:error, status}
      {^ref, :ended} -> {:error, ending(stream)}
      {:DOWN, ^ref, _, _, why} -> {:error, %{Connection.ended(why) | sent: :maybe}}
    after
      Attempt.left(stream.deadline) ->
        Attempt.hush(ref)
        cancel(stream)
        {:error, Attempt.late()}
    end
  end

  # The owner finds out how the call ended, and can still receive it.
  defp ending(%{ref: ref} = stream) do
    case get(ref) do
      nil -> Status.lost(:cancelled, "the call has ended; its owner knows how", :client)
      %{ended: nil} = state -> stream |> look(state) |> status()
      %{ended: ended} -> status(ended)
    end
  end

  defp look(%{ref: ref}, state) do
    ended =
      receive do
        {^ref, {:end, _} = ended} -> ended
        {^ref, {:error, _} = ended} -> ended
        {:DOWN, ^ref, _, _, why} -> {:error, %{Connection.ended(why) | sent: :maybe}}
      after
        0 -> nil
      end

    if ended, do: put(ref, %{state | ended: ended})
    ended
  end

  defp status({:error, status}), do: status
  defp status(nil), do: Status.lost(:cancelled, "the call has ended", :client)

  defp status({:end, trailers}) do
    case Grpc.ending(trailers) do
      {:error, status} -> status
      {:ok, _} -> Status.lost(:cancelled, "the server has answered and takes no more", :peer)
    end
  end

  ## Receiving

  @doc "The next message, or how the call ended. A call that has ended is forgotten when that was told."
  @spec recv(t, integer | :infinity) :: {:ok, binary} | {:end, Grpc.metadata()} | {:error, Status.t()}
  def recv(stream, deadline), do: next(stream, :one, deadline)

  @doc "Some messages, read by a module of the contract; or how the call ended, as `recv/2` has it."
  @spec take(t, module, integer | :infinity) ::
          {:ok, [struct, ...]} | {:unreadable, String.t()} | {:end, Grpc.metadata()} | {:error, Status.t()}
  def take(stream, module, deadline), do: next(stream, module, deadline)

  # What is there lies apart from all else, because a hundred messages may come at once.
  defp next(%{ref: ref} = stream, how, deadline) do
    case :erlang.get(ref) do
      :undefined ->
        {:error, Status.lost(:failed_precondition, "the call is over, or belongs to another process", :client)}

      <<>> ->
        wait(stream, refill(stream, get(ref)), how, deadline)

      unread ->
        read(stream, unread, <<>>, how, deadline)
    end
  end

  # A quarter of the window is worth a message.
  defp refill(%{window: window} = stream, %{owed: owed} = state) when owed * 4 >= window do
    Connection.credit(stream.connection, stream.ref, owed)
    %{state | owed: 0}
  end

  defp refill(_, state), do: state

  defp wait(%{ref: ref} = stream, %{ended: nil} = state, how, deadline) do
    receive do
      {^ref, {:data, bytes, flow}} -> data(stream, %{state | owed: state.owed + flow}, bytes, how, deadline)
      {^ref, {:fields, fields}} -> fields(stream, state, fields, how, deadline)
      {^ref, {:end, _} = ended} -> over(stream, state, ended)
      {^ref, {:error, _} = ended} -> over(stream, state, ended)
      {:DOWN, ^ref, _, _, why} -> over(stream, state, {:error, %{Connection.ended(why) | sent: :maybe}})
    after
      patience(stream, deadline) -> timed_out(stream, state)
    end
  end

  # The ending was seen by a writer; what came before it is in the mailbox still.
  defp wait(%{ref: ref} = stream, %{ended: ended} = state, how, deadline) do
    receive do
      {^ref, {:data, bytes, flow}} -> data(stream, %{state | owed: state.owed + flow}, bytes, how, deadline)
      {^ref, {:fields, fields}} -> fields(stream, state, fields, how, deadline)
    after
      0 -> over(stream, state, ended)
    end
  end

  defp data(stream, %{rest: []} = state, bytes, how, deadline) do
    put(stream.ref, state)
    read(stream, bytes, <<>>, how, deadline)
  end

  # The pieces of a message are put together once, when the last one is there, and nothing else is copied.
  defp data(stream, %{rest: rest, missing: missing} = state, bytes, how, deadline) do
    case bytes do
      <<last::binary-size(missing), later::binary>> ->
        put(stream.ref, %{state | rest: []})
        read(stream, IO.iodata_to_binary([rest | last]), later, how, deadline)

      _ ->
        state = %{state | rest: Grpc.gather(rest, bytes), missing: missing - byte_size(bytes)}
        wait(stream, refill(stream, state), how, deadline)
    end
  end

  # What comes later is of no message that begins earlier, unless only the head of that one was missing.
  defp read(%{ref: ref} = stream, bytes, later, how, deadline) do
    case Unread.take(bytes, stream.max, how) do
      {:ok, taken, rest} ->
        :erlang.put(ref, joined(rest, later))
        {:ok, taken}

      :more when later != <<>> ->
        read(stream, bytes <> later, <<>>, how, deadline)

      :more ->
        :erlang.put(ref, <<>>)
        state = %{get(ref) | rest: [[] | bytes], missing: Grpc.missing(bytes)}
        wait(stream, refill(stream, state), how, deadline)

      {:unreadable, _} = unreadable ->
        :erlang.put(ref, joined(bytes, later))
        unreadable

      {:error, status} ->
        give_up(stream, status)
    end
  end

  # Nothing keeps nothing alive.
  defp joined(<<>>, <<>>), do: <<>>
  defp joined(<<>>, later), do: later
  defp joined(bytes, <<>>), do: bytes
  defp joined(bytes, later), do: bytes <> later

  defp fields(stream, state, fields, how, deadline) do
    case Grpc.refusal(fields) do
      nil -> wait(stream, state, how, deadline)
      status -> give_up(stream, status)
    end
  end

  defp patience(%{deadline: mine}, deadline), do: min(Attempt.left(mine), Attempt.left(deadline))

  # The deadline of the call ends it; a shorter patience of this reader does not.
  defp timed_out(stream, state) do
    if Attempt.left(stream.deadline) == 0 do
      give_up(stream, Attempt.late())
    else
      put(stream.ref, state)
      {:error, Status.lost(:deadline_exceeded, "no message came in time; the call goes on", :client)}
    end
  end

  defp over(%{ref: ref, deadline: deadline} = stream, state, ended) do
    leave(ref)

    case ended do
      {:error, status} -> Attempt.learn_from(status, stream.fuse)
      {:end, _} -> Attempt.learn(stream.fuse, :good)
    end

    case {ended, state.rest} do
      {{:error, status}, _} -> {:error, status}
      {{:end, trailers}, rest} -> trailed(Grpc.ending(trailers), rest, deadline)
    end
  end

  defp trailed({:ok, metadata}, [], _), do: {:end, metadata}
  defp trailed({:ok, _}, _, _), do: {:error, Status.lost(:internal, "the answer ended in the middle of a message")}
  defp trailed({:error, status}, _, deadline), do: {:error, Attempt.overdue(status, deadline)}

  defp give_up(stream, status) do
    cancel(stream)
    {:error, status}
  end

  @doc "Gives the call up. Its owner hears nothing more of it; when somebody else gave it up, it hears that."
  @spec cancel(t) :: :ok
  def cancel(%{ref: ref, connection: connection}) do
    if get(ref) do
      Connection.cancel(connection, ref, :quietly)
      leave(ref)
    else
      Connection.cancel(connection, ref, :aloud)
    end
  end

  # Without the alias nothing more can come; what has come is thrown away.
  defp leave(ref) do
    Process.delete(ref)
    Process.delete({__MODULE__, ref})
    Process.demonitor(ref, [:flush])
    drain(ref)
  end

  defp drain(ref) do
    receive do
      {^ref, _} -> drain(ref)
    after
      0 -> :ok
    end
  end

  defp get(ref), do: Process.get({__MODULE__, ref})

  defp put(ref, state) do
    Process.put({__MODULE__, ref}, state)
    :ok
  end
end
