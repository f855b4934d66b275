defmodule Sidewinder.Testing.Attached do
  @moduledoc "The stand-in's end of the stream of a lease: it grants, beats, and tells what a test wants told."

  alias Sidewinder.Proto
  alias Sidewinder.Proto.Google.Duration
  alias Sidewinder.Testing.{Refusing, Standin}

  @doc "Serves one client until it hangs up or somebody ends this process."
  @spec serve(GenServer.server()) :: no_return
  def serve(standin) do
    {:ok, %Proto.FromClient{part: {:hello, hello}}} = receive(do: ({:input, data} -> Proto.FromClient.decode(data)))

    state = %{standin: standin, out: :queue.new(), readers: :queue.new(), sequence: 0, heard: 0, heard_at: 0}

    case Standin.ask(standin, {:attach, hello}) do
      {:granted, granted, standing, silent} ->
        state = Map.merge(state, %{interval: max(div(milliseconds(granted.interval) * 3, 4), 1), silent: silent})
        state |> say({:granted, granted}) |> say({:state, standing}) |> tick() |> loop()

      {:refuse, error} ->
        state |> Map.merge(%{interval: :infinity, silent: true}) |> give({:error, Refusing.status(error)}) |> loop()
    end
  end

  defp milliseconds(duration), do: duration.seconds * 1000 + div(duration.nanos, 1_000_000)

  defp loop(state) do
    receive do
      {:pull, reader, mark} -> loop(serve_readers(%{state | readers: :queue.in({reader, mark}, state.readers)}))
      {:input, data} -> loop(hear(state, data))
      :inputs_ended -> loop(give(state, {:end, []}))
      {:tell, part} -> loop(say(state, part))
      {:silence, silent} -> loop(%{state | silent: silent})
      {:hang_up, error} -> loop(give(state, {:error, Refusing.status(error)}))
      :tick -> loop(tick(state))
    end
  end

  defp hear(state, data) do
    {:ok, %Proto.FromClient{part: part}} = Proto.FromClient.decode(data)
    :ok = Standin.ask(state.standin, {:said, part})

    case part do
      {:beat, beat} -> %{state | heard: beat.sequence, heard_at: System.monotonic_time(:microsecond)}
      _ -> state
    end
  end

  defp tick(%{silent: true} = state), do: again(state)

  defp tick(state) do
    held = if state.heard > 0, do: System.monotonic_time(:microsecond) - state.heard_at, else: 0
    sequence = state.sequence + 1

    beat = %Proto.Beat{
      sequence: sequence,
      answers: state.heard,
      held: %Duration{seconds: div(held, 1_000_000), nanos: rem(held, 1_000_000) * 1000}
    }

    again(say(%{state | sequence: sequence}, {:beat, beat}))
  end

  defp again(state) do
    Process.send_after(self(), :tick, state.interval)
    state
  end

  defp say(state, part),
    do: give(state, {:ok, IO.iodata_to_binary(Proto.ToClient.encode(%Proto.ToClient{part: part}))})

  defp give(state, answer), do: serve_readers(%{state | out: :queue.in(answer, state.out)})

  defp serve_readers(state) do
    with {{:value, answer}, out} <- :queue.out(state.out),
         {{:value, {reader, mark}}, readers} <- :queue.out(state.readers) do
      send(reader, {mark, answer})
      serve_readers(%{state | out: out, readers: readers})
    else
      _ -> state
    end
  end
end
