defmodule Sidewinder.Connection.Calls do
  @moduledoc """
  The calls of one connection: which waits, which is open on which stream, and who is to be told what.

  A call is known by the alias of its caller, from its arrival to its one ending: `ids` tells its stream, or has the call
  itself while it waits for one. What the peer does is said of streams, so `calls` has what is open by their numbers; they
  are cheaper keys than aliases, too. `callers` are watched, because the end of a caller is a cancellation. `fresh` are the
  streams that were opened since the last write: when the connection ends before that write, or nothing of it went out,
  they were never sent.
  """

  alias Sidewinder.Channel.Stream
  alias Sidewinder.Connection.Callers
  alias Sidewinder.Wire.{Grpc, H2, Status}

  # A call with less left than this is not opened, in milliseconds.
  @too_late 2
  # Events that tell of a call, by its stream.
  @ours [:fields, :data, :end, :sent, :reset, :unprocessed]

  defstruct [
    :place,
    :load,
    :max_waiting,
    :refused,
    calls: %{},
    ids: %{},
    callers: %{},
    line: :queue.new(),
    lined: 0,
    waiting: 0,
    fresh: []
  ]

  @type t :: %__MODULE__{}

  @doc "No calls yet."
  @spec new({binary, binary}, :counters.counters_ref(), non_neg_integer) :: t
  def new(place, load, max_waiting), do: %__MODULE__{place: place, load: load, max_waiting: max_waiting}

  @doc "Nobody is left."
  @spec none?(t) :: boolean
  def none?(calls), do: map_size(calls.ids) == 0

  @doc "A caller asks: its call is opened, waits in the line, or is refused."
  @spec begin(t, H2.t(), reference, pid, :unary | :stream, map) :: {t, H2.t()}
  def begin(%{refused: why} = calls, machine, ref, _, _, request) when why != nil,
    do: turn_away(calls, machine, ref, request, :unavailable, why)

  def begin(calls, machine, ref, pid, kind, request) do
    case if(calls.waiting > 0, do: :later, else: H2.room(machine)) do
      :yes -> open(watch(calls, pid, ref), machine, call(ref, pid, kind, request))
      :later when calls.waiting < calls.max_waiting -> {wait(calls, ref, pid, kind, request), machine}
      :later -> turn_away(calls, machine, ref, request, :resource_exhausted, full(calls))
      :never -> turn_away(calls, machine, ref, request, :unavailable, "the connection takes no more calls")
    end
  end

  defp wait(calls, ref, pid, kind, request), do: queue(watch(calls, pid, ref), call(ref, pid, kind, request))

  defp watch(calls, pid, ref), do: %{calls | callers: Callers.add(calls.callers, pid, ref, map_size(calls.ids))}

  defp call(ref, pid, kind, request) do
    %{
      ref: ref,
      caller: pid,
      kind: kind,
      id: nil,
      request: request,
      max: request.max,
      shared: Map.get(request, :shared),
      counted: not Map.get(request, :uncounted, false),
      waiters: [],
      fields: nil,
      chunks: [],
      size: 0
    }
  end

  defp full(calls), do: "#{calls.waiting} calls wait for a stream already (max_waiting)"

  defp turn_away(calls, machine, ref, request, name, why) do
    tell(ref, {:error, Status.unsent(name, why, if(name == :unavailable, do: :transport, else: :client))})
    unless Map.get(request, :uncounted), do: released(calls)
    {calls, machine}
  end

  # The cancelled leave their places behind; when those are the most, the line is made anew.
  defp queue(calls, %{ref: ref} = call) do
    ids = Map.put(calls.ids, ref, call)
    line = :queue.in(ref, calls.line)
    calls = %{calls | ids: ids, line: line, lined: calls.lined + 1, waiting: calls.waiting + 1}

    if calls.lined > 2 * calls.waiting + 64 do
      line = :queue.filter(&match?(%{^&1 => %{}}, calls.ids), calls.line)
      %{calls | line: line, lined: calls.waiting}
    else
      calls
    end
  end

  @doc "Opens waiting calls while the peer has room."
  @spec pump(t, H2.t()) :: {t, H2.t()}
  def pump(%{waiting: 0} = calls, machine), do: {calls, machine}

  def pump(calls, machine) do
    case H2.room(machine) do
      :yes -> pump_one(calls, machine)
      :later -> {calls, machine}
      :never -> {refuse(calls, "the connection takes no more calls"), machine}
    end
  end

  defp pump_one(calls, machine) do
    {{:value, ref}, line} = :queue.out(calls.line)
    calls = %{calls | line: line, lined: calls.lined - 1}

    case calls.ids do
      %{^ref => %{} = call} ->
        {calls, machine} = open(%{calls | waiting: calls.waiting - 1}, machine, call)
        pump(calls, machine)

      _ ->
        pump(calls, machine)
    end
  end

  defp open(calls, machine, %{ref: ref, request: request} = call) do
    left = left(request.deadline)

    if left < @too_late do
      expired = Status.unsent(:deadline_exceeded, "the deadline passed before the call could be sent")
      {finish(calls, call, {:error, expired}), machine}
    else
      {scheme, authority} = calls.place
      known = {request.path, Grpc.place(scheme, authority, request.path)}
      fields = Grpc.timeout(left) ++ request.metadata
      {id, machine} = H2.open(machine, known, fields, request.pieces, request.size, request.fin)
      if call.kind == :stream, do: tell(ref, :opened)
      opened = Map.put(calls.calls, id, %{call | id: id, request: nil})
      {%{calls | calls: opened, ids: Map.put(calls.ids, ref, id), fresh: [id | calls.fresh]}, machine}
    end
  end

  defp left(:infinity), do: :infinity
  defp left(deadline), do: deadline - System.monotonic_time(:millisecond)

  @doc "The calls that nothing was written of."
  @spec fresh(t) :: [H2.id()]
  def fresh(calls), do: calls.fresh

  @doc "Nothing of these was written after all."
  @spec unwritten(t, [H2.id()]) :: t
  def unwritten(calls, fresh), do: %{calls | fresh: fresh}

  @doc "Everything that was said so far was written."
  @spec written(t) :: t
  def written(%{fresh: []} = calls), do: calls
  def written(calls), do: %{calls | fresh: []}

  @spec say(t, H2.t(), reference, [binary], non_neg_integer, boolean) :: H2.t()
  def say(calls, machine, ref, pieces, size, fin) do
    case calls.ids do
      %{^ref => id} when is_integer(id) -> H2.send_data(machine, id, pieces, size, fin)
      _ -> machine
    end
  end

  @spec credit(t, H2.t(), reference, non_neg_integer) :: H2.t()
  def credit(calls, machine, ref, bytes) do
    case calls.ids do
      %{^ref => id} when is_integer(id) -> H2.credit(machine, id, bytes)
      _ -> machine
    end
  end

  @doc "A writer waits until little waits to be written."
  @spec room(t, reference, reference) :: t
  def room(calls, ref, waiter) do
    case calls.ids do
      %{^ref => id} when is_integer(id) ->
        call = Map.fetch!(calls.calls, id)

        if Stream.wrote(call.shared, 0) <= Stream.ahead(),
          do: calls |> tap(fn _ -> tell(waiter, :room) end),
          else: keep(calls, %{call | waiters: [waiter | call.waiters]})

      _ ->
        tell(waiter, :ended)
        calls
    end
  end

  @doc "A caller is dead: its calls are given up."
  @spec ended(t, H2.t(), pid) :: {t, H2.t()}
  def ended(calls, machine, caller) do
    {refs, callers} = Callers.ended(calls.callers, caller)

    Enum.reduce(refs, {%{calls | callers: callers}, machine}, fn ref, {calls, machine} ->
      cancel(calls, machine, ref, :quietly)
    end)
  end

  @doc "The caller gave up, or somebody else gave its call up."
  @spec cancel(t, H2.t(), reference, :quietly | :aloud) :: {t, H2.t()}
  def cancel(calls, machine, ref, how) do
    case calls.ids do
      %{^ref => %{} = call} ->
        {given_up(%{calls | waiting: calls.waiting - 1}, call, how), machine}

      %{^ref => id} ->
        {given_up(calls, Map.fetch!(calls.calls, id), how), H2.reset(machine, id, :cancel)}

      _ ->
        {calls, machine}
    end
  end

  defp given_up(calls, call, how) do
    if how == :aloud, do: tell(call.ref, {:error, Status.lost(:cancelled, "the call was cancelled", :client)})
    drop(calls, call, :ended)
  end

  @doc "What the peer did, up to something that is not about a call."
  @spec events([H2.event()], t, H2.t()) :: {[H2.event()], t, H2.t()}
  # An answer that came as a whole, as small ones do, is one step.
  def events(
        [{:fields, id, fields, false}, {:data, id, bytes, _}, {:fields, id, last, true}, {:end, id} | later] = events,
        calls,
        machine
      ) do
    case calls.calls do
      %{^id => %{kind: :unary, max: max} = call} when byte_size(bytes) <= max ->
        events(later, finish(calls, call, {:answer, fields, [bytes], last}), machine)

      _ ->
        event(events, calls, machine)
    end
  end

  def events([event | _] = events, calls, machine) when elem(event, 0) in @ours, do: event(events, calls, machine)
  def events(events, calls, machine), do: {events, calls, machine}

  defp event([event | events], calls, machine) do
    id = elem(event, 1)

    case calls.calls do
      %{^id => call} ->
        {calls, machine} = happened(event, call, calls, machine)
        events(events, calls, machine)

      _ ->
        events(events, calls, machine)
    end
  end

  defp happened({:data, id, bytes, flow}, %{kind: :unary} = call, calls, machine) do
    size = call.size + byte_size(bytes)

    if size > call.max + 5 do
      why = "an answer of more than #{call.max} bytes (max_message)"
      calls = finish(calls, call, {:error, Status.lost(:resource_exhausted, why, :client)})
      {calls, H2.reset(machine, id, :cancel)}
    else
      # An answer is wanted as a whole: what has come of it is consumed.
      {keep(calls, %{call | chunks: Grpc.gather(call.chunks, bytes), size: size}), H2.credit(machine, id, flow)}
    end
  end

  defp happened({:data, _, bytes, flow}, call, calls, machine) do
    tell(call.ref, {:data, bytes, flow})
    {calls, machine}
  end

  defp happened({:fields, _, fields, fin}, call, calls, machine) do
    if call.kind == :stream and call.fields == nil, do: tell(call.ref, {:fields, fields})

    # The last fields are the end of a call; the event of the end finds it gone.
    calls =
      if fin,
        do: finish(calls, call, ending(call, fields)),
        else: keep(calls, %{call | fields: fields})

    {calls, machine}
  end

  defp happened({:end, _}, call, calls, machine), do: {finish(calls, call, ending(call, [])), machine}

  defp happened({:sent, _, _}, %{kind: :unary}, calls, machine), do: {calls, machine}

  defp happened({:sent, _, bytes}, call, calls, machine) do
    if Stream.wrote(call.shared, bytes) <= Stream.ahead() and call.waiters != [] do
      Enum.each(call.waiters, &tell(&1, :room))
      {keep(calls, %{call | waiters: []}), machine}
    else
      {calls, machine}
    end
  end

  defp happened({:reset, _, code}, call, calls, machine),
    do: {finish(calls, call, {:error, reset(code)}), machine}

  defp happened({:unprocessed, _}, call, calls, machine) do
    status = Status.unsent(:unavailable, "the server went away before it looked at the call", :transport)
    {finish(calls, call, {:error, status}), machine}
  end

  defp ending(%{kind: :unary} = call, trailers), do: {:answer, call.fields || trailers, call.chunks, trailers}
  defp ending(%{kind: :stream}, trailers), do: {:end, trailers}

  defp reset(:refused_stream), do: Status.unsent(:unavailable, "the server refused the stream", :peer)
  defp reset(:cancel), do: Status.lost(:cancelled, "the server cancelled the call")
  defp reset(:enhance_your_calm), do: Status.lost(:resource_exhausted, "the server asks for calm")
  defp reset(:inadequate_security), do: Status.lost(:permission_denied, "the server asks for better security")
  defp reset(code), do: Status.lost(:internal, "the stream was reset: #{code}")

  @doc "New calls are refused from now on, and those that wait at once."
  @spec refuse(t, String.t()) :: t
  def refuse(calls, why) do
    status = Status.unsent(:unavailable, why, :transport)
    waiting = for {_, %{} = call} <- calls.ids, do: call
    calls = %{calls | refused: why, line: :queue.new(), lined: 0, waiting: 0}
    Enum.reduce(waiting, calls, &finish(&2, &1, {:error, status}))
  end

  @doc "The connection is over: everybody is told, truthfully."
  @spec fail(t, String.t()) :: t
  def fail(calls, why) do
    fresh = MapSet.new(calls.fresh)
    unsent = Status.unsent(:unavailable, why, :transport)
    lost = Status.lost(:unavailable, why)
    calls = refuse(calls, why)

    Enum.reduce(calls.calls, calls, fn {id, call}, calls ->
      finish(calls, call, {:error, if(id in fresh, do: unsent, else: lost)})
    end)
  end

  @doc "Callers count themselves in and may die before they have asked: with nobody here the count is nothing."
  @spec settle(t) :: :ok
  def settle(calls), do: if(none?(calls), do: :counters.put(calls.load, 1, 0), else: :ok)

  defp finish(calls, call, ending) do
    tell(call.ref, ending)
    drop(calls, call, if(match?({:error, _}, ending), do: ending, else: :ended))
  end

  defp drop(calls, call, ending) do
    %{id: id, ref: ref, caller: caller} = call
    if call.counted, do: released(calls)
    if call.shared, do: Stream.ended(call.shared)
    Enum.each(call.waiters, &tell(&1, ending))
    callers = Callers.drop(calls.callers, caller, ref)
    %{calls | calls: Map.delete(calls.calls, id), ids: Map.delete(calls.ids, ref), callers: callers}
  end

  defp keep(calls, call), do: %{calls | calls: %{calls.calls | call.id => call}}
  defp released(calls), do: :counters.sub(calls.load, 1, 1)
  defp tell(ref, message), do: send(ref, {ref, message})
end
