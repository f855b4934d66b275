defmodule Sidewinder.Testing.Runner do
  @moduledoc """
  One call of a stand-in: a process that runs a tool as long as somebody wants its answers.

  A guard beside it ends it when its owner dies, as a daemon would interrupt a worker. Each answer waits until it is
  pulled, so a generator goes no faster than its reader.
  """

  alias Sidewinder.{Error, Proto, Value}
  alias Sidewinder.Testing.{Attached, Raised, Refusing, Standin}

  @doc "Begins a call for the calling process."
  @spec start(GenServer.server(), String.t(), keyword) :: map
  def start(channel, path, options) do
    owner = self()
    callers = [owner | Process.get(:"$callers", [])]

    runner =
      spawn(fn ->
        Process.put(:"$callers", callers)
        guard(owner)
        serve(channel, path, options)
      end)

    %{runner: runner, deadline: options[:deadline] || :infinity}
  end

  defp guard(owner) do
    runner = self()

    spawn(fn ->
      owned = Process.monitor(owner)
      running = Process.monitor(runner)

      receive do
        {:DOWN, ^owned, :process, _, _} -> Process.exit(runner, :kill)
        {:DOWN, ^running, :process, _, _} -> :ok
      end
    end)
  end

  defp serve(channel, "/sidewinder.v1.Clients/Attach", _options), do: Attached.serve(channel)

  defp serve(channel, path, options) do
    %{request: request, streams: {many_in, many_out}} = Map.fetch!(Proto.methods(), path)
    {:ok, message} = request.decode(input!())
    answers(many_out, fn -> Standin.ask(channel, {:asked, path, message}) end, many_in, options)
  end

  defp answers(many_out, ask, many_in, options) do
    case ask.() do
      {:answer, message} -> give_all(many_out, [message], & &1)
      {:run, call} -> run(call, many_in, many_out, options)
      {:refuse, error} -> last({:error, Refusing.status(error)})
    end
  rescue
    error -> last({:error, Refusing.status(raised(error, __STACKTRACE__))})
  end

  defp run(call, many_in, many_out, options) do
    result = apply_tool(call, context(call, many_in, options))
    pack = fn value -> payload(call.content_type, value) end

    case {many_out, generator?(result)} do
      {true, true} -> give_all(true, result, &%Proto.Item{value: pack.(&1)})
      {true, false} -> give_all(true, [result], &%Proto.Item{value: pack.(&1)})
      {false, true} -> give_all(false, [Enum.to_list(result)], &response(pack.(&1)))
      {false, false} -> give_all(false, [result], &response(pack.(&1)))
    end
  end

  defp response(payload), do: %Proto.CallResponse{value: payload, ran: %Proto.Ran{worker: "0.1"}}

  defp apply_tool(%{fun: fun} = call, _context) when is_function(fun, 1), do: fun.(call.arguments)
  defp apply_tool(%{fun: fun} = call, context) when is_function(fun, 2), do: fun.(call.arguments, context)

  defp context(call, many_in, options) do
    %{
      inputs: if(many_in, do: Stream.repeatedly(&input/0) |> Stream.take_while(& &1) |> Stream.map(&item/1), else: []),
      metadata: call.metadata,
      affinity: call.affinity,
      idempotency_key: call.idempotency_key,
      content_type: call.content_type,
      remaining: remaining(options[:deadline] || :infinity)
    }
  end

  defp remaining(:infinity), do: :infinity
  defp remaining(deadline), do: deadline - System.monotonic_time(:millisecond)

  defp generator?(%Stream{}), do: true
  defp generator?(%Range{}), do: true
  defp generator?(value), do: is_function(value, 2)

  defp input! do
    receive do
      {:input, data} -> data
    end
  end

  defp input do
    receive do
      {:input, data} -> data
      :inputs_ended -> nil
    end
  end

  defp item(data) do
    {:ok, %{part: {:item, payload}}} = Proto.Input.decode(data)
    {:ok, value} = Value.decode(payload.content_type, payload.data)
    value
  end

  defp payload(content_type, value) do
    {:ok, {module, _}} = Value.named(if content_type == "", do: :json, else: content_type)

    case module.encode(value) do
      {:ok, data} -> %Proto.Payload{data: IO.iodata_to_binary(data), content_type: content_type}
      {:error, what} -> raise Raised, exception: "UnencodableError", message: what
    end
  end

  defp give_all(_many, values, pack) do
    Enum.each(values, fn value -> give({:ok, encode(pack.(value))}) end)
    last({:end, []})
  end

  defp encode(%module{} = message), do: IO.iodata_to_binary(module.encode(message))

  defp give(answer) do
    receive do
      {:pull, reader, mark} -> send(reader, {mark, answer})
    end
  end

  # Whoever asks for more is told again how it ended.
  defp last(answer) do
    give(answer)
    last(answer)
  end

  defp raised(%Error{} = error, _stack), do: error

  defp raised(%Raised{} = raised, stack),
    do: python(raised.exception, raised.message, raised.traceback || Exception.format_stacktrace(stack))

  defp raised(error, stack),
    do: python(inspect(error.__struct__), Exception.message(error), Exception.format_stacktrace(stack))

  defp python(exception, message, traceback) do
    %Error{
      reason: :raised,
      code: :unknown,
      ran: :maybe,
      exception: exception,
      message: "#{exception}: #{message}",
      traceback: traceback,
      worker: "0.1"
    }
  end
end
